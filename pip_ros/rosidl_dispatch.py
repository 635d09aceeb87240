"""C code that finds the type supports of messages within one module, in place of the stock rosidl_typesupport_c."""

from __future__ import annotations

from collections.abc import Sequence

_HEAD = """\
#include <string.h>
#include "rosidl_runtime_c/message_type_support_struct.h"
#include "rosidl_typesupport_c/identifier.h"
#include "rosidl_typesupport_interface/macros.h"

typedef const rosidl_message_type_support_t * (* getter_t)(void);

static const rosidl_message_type_support_t * dispatch(
  const rosidl_message_type_support_t * handle, const char * identifier)
{
  if (strcmp(handle->typesupport_identifier, identifier) == 0) {
    return handle;
  }
  const getter_t * getters = (const getter_t *)handle->data;
  for (int i = 0; i < 2; ++i) {
    const rosidl_message_type_support_t * candidate = getters[i]();
    if (candidate && strcmp(candidate->typesupport_identifier, identifier) == 0) {
      return candidate;
    }
  }
  return NULL;
}
"""

_MESSAGE = """
#define FASTRTPS ROSIDL_TYPESUPPORT_INTERFACE__MESSAGE_SYMBOL_NAME(rosidl_typesupport_fastrtps_c, {p}, msg, {m})
#define INTROSPECTION ROSIDL_TYPESUPPORT_INTERFACE__MESSAGE_SYMBOL_NAME( \\
    rosidl_typesupport_introspection_c, {p}, msg, {m})
const rosidl_message_type_support_t * FASTRTPS(void);
const rosidl_message_type_support_t * INTROSPECTION(void);
const rosidl_type_hash_t * {p}__msg__{m}__get_type_hash(const rosidl_message_type_support_t *);
const rosidl_runtime_c__type_description__TypeDescription *
{p}__msg__{m}__get_type_description(const rosidl_message_type_support_t *);
const rosidl_runtime_c__type_description__TypeSource__Sequence *
{p}__msg__{m}__get_type_description_sources(const rosidl_message_type_support_t *);

static const getter_t {m}_getters[2] = {{FASTRTPS, INTROSPECTION}};
static rosidl_message_type_support_t {m}_handle = {{
  NULL, {m}_getters, dispatch,
  {p}__msg__{m}__get_type_hash,
  {p}__msg__{m}__get_type_description,
  {p}__msg__{m}__get_type_description_sources,
}};

const rosidl_message_type_support_t *
ROSIDL_TYPESUPPORT_INTERFACE__MESSAGE_SYMBOL_NAME(rosidl_typesupport_c, {p}, msg, {m})(void)
{{
  {m}_handle.typesupport_identifier = rosidl_typesupport_c__typesupport_identifier;
  return &{m}_handle;
}}
#undef FASTRTPS
#undef INTROSPECTION
"""


def dispatch_source(package: str, messages: Sequence[str]) -> str:
    """Return the C source that defines the rosidl_typesupport_c handle of every message of a package.

    A handle's `data` are the getters of the two type supports, which are linked into the same module.
    """
    return _HEAD + "".join(_MESSAGE.format(p=package, m=message) for message in messages)
