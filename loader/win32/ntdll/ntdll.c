/*
 * ntdll.dll: its families collected (ntdll/families.h).
 */
#include "loader/win32/modules.h"
#include "loader/win32/ntdll/families.h"
#include "loader/win32/process.h"

#define FAMILY(family) {ntdll_##family##_exports, 0},
/* The last one is the C functions, which are looked up at run time (cruntime.c). */
static struct ldr_builtin_family families[] = {NTDLL_FAMILIES(FAMILY){NULL, 0}};
#undef FAMILY

#define COUNT(family) &ntdll_##family##_count,
static const size_t *const counts[] = {NTDLL_FAMILIES(COUNT)};
#undef COUNT

static void complete(void)
{
    struct ldr_builtin_family *last = &families[sizeof(counts) / sizeof(*counts)];
    if (!last->exports)
        *last = ntdll_cruntime();
}

struct ldr_builtin win32_ntdll = {
    .name = "ntdll.dll",
    .preferred_base = 0x7BC00000,
    .families = families,
    .family_count = sizeof(families) / sizeof(*families),
    .names = win32_names_ntdll,
    .complete = complete,
    .attach = win32_process_setup,
};

void win32_ntdll_prepare(void)
{
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++)
        families[i].count = *counts[i];
    win32_ntdll.name_count = win32_names_ntdll_count;
}
