/*
 * Module handles: what LoadLibrary's family and NTDLL's Ldr functions share.
 *
 * A module's handle is its base address. A data file's has bit 0 set (LOAD_LIBRARY_AS_DATAFILE), an
 * image resource's bit 1; ldr/ does not list those, so they are remembered here.
 */
#ifndef WIN32_MODHANDLE_H
#define WIN32_MODHANDLE_H

#include "loader/ldr/ldr.h"
#include "loader/win32/types.h"

/* The listed module behind a handle; NULL = the program. NULL when there is none. */
struct ldr_module *win32_module_of(HMODULE handle);
HMODULE win32_module_handle(const struct ldr_module *module);
/* The image behind a handle of any kind, or NULL. */
const struct pe_image *win32_module_image(HMODULE handle);

nt_status win32_library_load(const WCHAR *name, uint32_t flags, HMODULE *out);
nt_status win32_library_free(HMODULE handle);
/* The module of that name, without a reference. */
struct ldr_module *win32_library_find(const WCHAR *name);

#endif
