/*
 * Looking up resources, for KERNEL32 and USER32 (kernel32/resource.c).
 */
#ifndef WIN32_RESOURCE_H
#define WIN32_RESOURCE_H

#include "loader/win32/types.h"
#include "pe/status.h"

/* `type` and `name`: strings, or numbers below 64 KiB as pointers; `language` 0 = any. */
nt_status win32_resource_find(HMODULE module, const WCHAR *type, const WCHAR *name,
                              uint16_t language, HRSRC *out);
/* The bytes, or NULL when they are not inside the image. */
const void *win32_resource_data(HMODULE module, HRSRC resource, uint32_t *size);

#endif
