#include "text/chat.h"

namespace zaya {

// For checkpoints that ship no template. What is known of ZAYA1's format, from its tokenizer and
// from published expectations on its prompts:
//   - ChatML turns, <|im_start|>role\n ... <|im_end|>\n, after <bos> and a newline;
//   - thinking is on by default and then the prompt opens the think block; with
//     enable_thinking=false the prompt holds an empty one, "<think>\n</think>" and a blank line;
//   - tools are listed as XML in the system turn under "# Tools", calls and results have the tags
//     zyphra_tool_call and zyphra_tool_response, results come in a user turn, and values of calls
//     that are lists or mappings are JSON.
// Our choices, where nothing is known: the sentences around the tools; schemas beyond name, type
// and description as JSON; one user turn for consecutive results; the newline after an opened
// <think>; and that turns before the last question lose their thoughts but keep an empty block,
// just as a turn without thinking was generated.
const char* builtin_chat_template() {
  return R"jinja(
{%- macro text_of(content) -%}
  {%- if content is string -%}
    {{- content -}}
  {%- elif content is iterable and content is not mapping -%}
    {%- for part in content -%}
      {%- if part is string -%}
        {{- part -}}
      {%- elif part.type == 'text' -%}
        {{- part.text -}}
      {%- else -%}
        {{- raise_exception('ZAYA1 reads text only, not content of type ' ~ part.type) -}}
      {%- endif -%}
    {%- endfor -%}
  {%- elif content is defined and content is not none -%}
    {{- content | tojson -}}
  {%- endif -%}
{%- endmacro -%}

{%- macro value_of(value) -%}
  {%- if value is string -%}
    {{- value -}}
  {%- else -%}
    {{- value | tojson -}}
  {%- endif -%}
{%- endmacro -%}

{%- macro schema_of(schema, known) -%}
  {%- for key, value in schema.items() -%}
    {%- if key not in known -%}
      {{- '<' ~ key ~ '>' ~ value_of(value) ~ '</' ~ key ~ '>\n' -}}
    {%- endif -%}
  {%- endfor -%}
{%- endmacro -%}

{%- macro declaration_of(tool) -%}
  {%- set function = tool.function if tool.function is defined else tool -%}
  {{- '<function>\n<name>' ~ function.name ~ '</name>\n' -}}
  {%- if function.description -%}
    {{- '<description>' ~ function.description ~ '</description>\n' -}}
  {%- endif -%}
  {%- set schema = function.parameters or {} -%}
  {{- '<parameters>\n' -}}
  {%- for name, property in (schema.properties or {}) | items -%}
    {{- '<parameter>\n<name>' ~ name ~ '</name>\n' -}}
    {%- if property is mapping -%}
      {%- if property.type is defined -%}
        {{- '<type>' ~ value_of(property.type) ~ '</type>\n' -}}
      {%- endif -%}
      {%- if property.description is defined -%}
        {{- '<description>' ~ property.description ~ '</description>\n' -}}
      {%- endif -%}
      {{- schema_of(property, ['name', 'type', 'description']) -}}
    {%- endif -%}
    {{- '</parameter>\n' -}}
  {%- endfor -%}
  {{- schema_of(schema, ['type', 'properties', 'required']) -}}
  {%- if schema.required -%}
    {{- '<required>' ~ schema.required | tojson ~ '</required>\n' -}}
  {%- endif -%}
  {{- '</parameters>\n</function>\n' -}}
{%- endmacro -%}

{%- macro call_of(tool_call) -%}
  {%- set function = tool_call.function if tool_call.function is defined else tool_call -%}
  {{- '<zyphra_tool_call>\n<function=' ~ function.name ~ '>\n' -}}
  {%- if function.arguments is mapping -%}
    {%- for name, value in function.arguments | items -%}
      {{- '<parameter=' ~ name ~ '>\n' ~ value_of(value) ~ '\n</parameter>\n' -}}
    {%- endfor -%}
  {%- elif function.arguments -%}
    {{- raise_exception('the arguments of a tool call must be a mapping') -}}
  {%- endif -%}
  {{- '</function>\n</zyphra_tool_call>' -}}
{%- endmacro -%}

{%- set thinking = enable_thinking if enable_thinking is defined else true -%}
{%- set empty_thoughts = '<think>\n</think>\n\n' -%}
{%- set state = namespace(last_question=-1, system='') -%}
{%- for message in messages -%}
  {%- if message.role == 'user' -%}
    {%- set state.last_question = loop.index0 -%}
  {%- elif message.role == 'system' or message.role == 'developer' -%}
    {%- set text = text_of(message.content) -%}
    {%- if loop.index0 != 0 -%}
      {{- raise_exception('a system message must come first') -}}
    {%- endif -%}
    {%- set state.system = text -%}
  {%- endif -%}
{%- endfor -%}

{{- bos_token ~ '\n' -}}
{%- if state.system or tools -%}
  {{- '<|im_start|>system\n' ~ state.system -}}
  {%- if tools -%}
    {{- '\n\n' if state.system -}}
    {{- '# Tools\n\nYou can call these functions:\n\n<tools>\n' -}}
    {%- for tool in tools -%}
      {{- declaration_of(tool) -}}
    {%- endfor -%}
    {{- '</tools>\n\nTo call a function, answer in exactly this form with NO suffix:\n\n' -}}
    {{- '<zyphra_tool_call>\n<function=example_function_name>\n' -}}
    {{- '<parameter=example_parameter_1>\nvalue_1\n</parameter>\n' -}}
    {{- '<parameter=example_parameter_2>\nA value may have\nseveral lines.\n</parameter>\n' -}}
    {{- '</function>\n</zyphra_tool_call>\n\n' -}}
    {{- 'Give every required parameter. Say what you want to say before the call.' -}}
  {%- endif -%}
  {{- '<|im_end|>\n' -}}
{%- endif -%}

{%- for message in messages -%}
  {%- if message.role == 'user' -%}
    {{- '<|im_start|>user\n' ~ text_of(message.content) ~ '<|im_end|>\n' -}}
  {%- elif message.role == 'assistant' -%}
    {%- set text = text_of(message.content) -%}
    {%- set thoughts = message.reasoning_content or message.reasoning or '' -%}
    {%- if not thoughts and '</think>' in text -%}
      {%- set thoughts = text.split('</think>')[0].split('<think>')[-1] -%}
      {%- set text = text.split('</think>', 1)[1].lstrip('\n') -%}
    {%- endif -%}
    {{- '<|im_start|>assistant\n' -}}
    {%- if thoughts and loop.index0 > state.last_question -%}
      {{- '<think>\n' ~ thoughts.strip('\n') ~ '\n</think>\n\n' -}}
    {%- else -%}
      {{- empty_thoughts -}}
    {%- endif -%}
    {%- generation -%}
      {{- text -}}
      {%- for tool_call in message.tool_calls or [] -%}
        {{- '\n' if text or not loop.first -}}
        {{- call_of(tool_call) -}}
      {%- endfor -%}
      {{- '<|im_end|>\n' -}}
    {%- endgeneration -%}
  {%- elif message.role == 'tool' -%}
    {%- if loop.first or loop.previtem.role != 'tool' -%}
      {{- '<|im_start|>user\n' -}}
    {%- endif -%}
    {{- '<zyphra_tool_response>\n' ~ text_of(message.content) ~ '\n</zyphra_tool_response>\n' -}}
    {%- if loop.last or loop.nextitem.role != 'tool' -%}
      {{- '<|im_end|>\n' -}}
    {%- endif -%}
  {%- elif message.role != 'system' and message.role != 'developer' -%}
    {{- raise_exception('unknown role ' ~ message.role) -}}
  {%- endif -%}
{%- endfor -%}

{%- if add_generation_prompt -%}
  {{- '<|im_start|>assistant\n' -}}
  {{- '<think>\n' if thinking else empty_thoughts -}}
{%- endif -%}
)jinja";
}

}  // namespace zaya
