#!/bin/bash
# The curl command: curl.sh SCENARIO, with chat, form, stream, continue, compressed or anthropic.
# Prints the answer as curl does, not JSON of its own: curl takes this shell's pid.
set -eu
scenario=$1
case $1 in
anthropic)
	exec curl -sS "$MODEL_SERVER_URL/v1/messages" \
		-H "x-api-key: $ANTHROPIC_API_KEY" -H 'anthropic-version: 2023-06-01' \
		-H 'content-type: application/json' \
		-d '{"model":"claude-demo","max_tokens":99,"messages":[{"role":"user","content":"hi"}]}'
	;;
chat | form) set -- '' ;;
stream) set -- '"stream":true,' -N ;;
compressed) set -- '"user":"[demo encoding=zstd]",' --compressed ;;
continue) set -- '' -H 'Expect: 100-continue' --expect100-timeout 10 ;;
*)
	echo "curl.sh: $1: no such scenario" >&2
	exit 2
	;;
esac
fields=$1
shift
# Without it curl calls it a form.
[ "$scenario" = form ] || set -- "$@" -H 'content-type: application/json'
exec curl -sS "$MODEL_SERVER_URL/v1/chat/completions" "$@" \
	-H "authorization: Bearer $OPENAI_API_KEY" \
	-d "{\"model\":\"gpt-demo\",${fields}\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"
