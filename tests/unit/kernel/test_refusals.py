"""What libbpf's log says of a program that the kernel refused."""

from __future__ import annotations

from proctor.kernel.loading import (
    FEATURES,
    feature_of,
    is_essential,
    refused_features,
    too_new,
)
from proctor.kernel.object import KernelObject, blamed_program, verifier_reason

VERIFIER = """\
libbpf: prog 'dns_egress': BPF program load failed: Permission denied
libbpf: prog 'dns_egress': -- BEGIN PROG LOAD LOG --
0: R1=ctx() R10=fp0
; { u32 k=0; u64 *v = bpf_map_lookup_elem(&m,&k); *v += skb->len; return 1; }
5: (18) r1 = 0xffff888216865800       ; R1=map_ptr(map=m,ks=4,vs=8)
9: (79) r2 = *(u64 *)(r0 +0)
R0 invalid mem access 'map_value_or_null'
processed 9 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
-- END PROG LOAD LOG --
libbpf: prog 'dns_egress': failed to load: -13
libbpf: failed to load object '/x/proctor.bpf.o'
"""
NO_TYPE = """\
libbpf: prog 'socket_state': failed to find kernel BTF type ID of 'inet_sock_set_state': -3
libbpf: prog 'socket_state': failed to prepare load attributes: -3
libbpf: prog 'socket_state': failed to load: -3
libbpf: failed to load object '/x/proctor.bpf.o'
"""
MAP = "libbpf: map 'payload': failed to create: Invalid argument(-22)\n"


def test_the_verifier_s_word_and_not_libbpf_s() -> None:
    assert verifier_reason(VERIFIER) == "R0 invalid mem access 'map_value_or_null'"
    assert verifier_reason(NO_TYPE) == (
        "failed to find kernel BTF type ID of 'inet_sock_set_state': -3"
        " | failed to prepare load attributes: -3"
    )
    assert verifier_reason("") == ""


def test_more_lines_than_fit_are_counted() -> None:
    log = "".join(f"line {letter}\n" for letter in "abcde")
    assert verifier_reason(log) == "line c | line d | line e (2 lines omitted: -vv)"


def test_who_is_to_blame() -> None:
    assert blamed_program(VERIFIER) == "dns_egress"
    assert blamed_program(VERIFIER + NO_TYPE) == "socket_state"
    assert blamed_program("libbpf: failed to load program 'enter_write'\n") == "enter_write"
    assert blamed_program(MAP) is None


def test_every_program_serves_one_feature() -> None:
    with KernelObject() as kernel:
        names = set(kernel.programs)
    rows = [name for feature in FEATURES for name in feature.programs]
    assert sorted(rows) == sorted(names)


def test_a_program_that_nobody_thought_about_is_essential() -> None:
    assert feature_of("new_one") is None
    assert is_essential("new_one")
    assert not is_essential("dns_egress")


def test_what_is_lost_is_said_by_feature() -> None:
    refused = {"dns_ingress": "no", "socket_state": "never", "dns_egress": "not"}
    told = [(feature.name, reason) for feature, reason in refused_features(refused)]
    assert told == [
        ("connections", "socket_state: never"),
        ("DNS queries and answers", "dns_egress: not; dns_ingress: no"),
    ]


def test_what_a_kernel_cannot_have_yet_is_not_offered_to_it() -> None:
    programs = ["process_exec", "file_call", "exit_mprotect", "new_one"]
    assert too_new(programs, (5, 16)) == {"exit_mprotect": "needs kernel 5.17"}
    assert too_new(programs, (5, 17)) == too_new(programs, (0, 0)) == {}
    assert too_new(programs, (5, 7)).keys() == {"file_call", "exit_mprotect"}
