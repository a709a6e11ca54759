/*
 * The C functions that NTDLL exports (memcpy, wcslen, _stricmp, sprintf ...): programs that link
 * with ntdll.lib instead of a C runtime use them.
 *
 * They are the functions of the builtin msvcrt.dll. Which ones NTDLL has is what its list of names
 * says: names of C functions begin with "_" or a small letter, so they are the list's end.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/win32/crt/crt.h"
#include "loader/win32/ntdll/families.h"

struct ldr_builtin_family ntdll_cruntime(void)
{
    size_t first = 0, total = win32_names_ntdll_count;
    while (first < total && strcmp(win32_names_ntdll[first], "_") < 0)
        first++;
    struct ldr_builtin_export *rows = calloc(total - first + 1, sizeof(*rows));
    if (!rows)
        return (struct ldr_builtin_family){NULL, 0};
    size_t count = win32_crt_select(win32_names_ntdll + first, total - first, rows);
    return (struct ldr_builtin_family){rows, count};
}
