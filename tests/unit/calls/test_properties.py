"""Bodies of any shape raise nothing, and what is told can be written."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import fuzz_calls
from tests.fuzz.driver import mutation

NAMES = (
    "type role content text messages input output model id name index delta choices message usage "
    "tool_calls function arguments call_id tool_use_id tool_call_id source data url image_url file "
    "function_call custom refusal reasoning summary error code finish_reason response item prompt "
    "output_index content_index content_block partial_json thinking stop_reason status audio tools "
    "functions input_schema prompt_tokens prompt_tokens_details cached_tokens input_tokens system "
    "incomplete_details x_groq is_error file_data instructions embedding object transcript"
)
WORDS = (
    "text tool_use tool_result function_call function_call_output reasoning message image document "
    "file input_audio image_url assistant tool user function base64 url content_block_delta "
    "content_block_start message_start message_delta message_stop error response.completed "
    "response.output_item.added response.output_item.done response.output_text.delta "
    "response.function_call_arguments.delta response.created custom_tool_call shell_call list "
    "chat.completion response blob tool_call tool_call_response uri"
)
SCALARS = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(WORDS.split()) | st.just("")
)
BODIES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES.split()), inner, max_size=6)
    ),
    max_leaves=25,
)


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from(NAMES.split()), BODIES, max_size=6))
def test_bodies_of_any_shape(body: dict[str, Any]) -> None:
    fuzz_calls.feed_all(body)


@settings(max_examples=100)
@given(st.integers())
def test_mutations(number: int) -> None:
    fuzz_calls.run(mutation(random.Random(number), fuzz_calls.SEEDS))


@pytest.mark.parametrize("seed", fuzz_calls.SEEDS)
def test_seeds(seed: bytes) -> None:
    fuzz_calls.run(seed)
