/*
 * KERNELBASE.dll: everything that KERNEL32 provides, as forwarders made from KERNEL32's own tables.
 *
 * On Windows the forwarding goes the other way; for an image it makes no difference, and API sets
 * name KERNELBASE as the host of most of these functions.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/win32/kernel32/families.h"
#include "loader/win32/modules.h"
#include "loader/win32/smalldlls.h"
#include "loader/win32/win32.h"

/* Forwarders to KERNEL32, the functions of KERNELBASE alone, the registry. */
static struct ldr_builtin_family families[4];
static void complete(void);

struct ldr_builtin win32_kernelbase = {
    .name = "KERNELBASE.dll",
    .preferred_base = 0x7B400000,
    .families = families,
    .family_count = 4,
    .names = win32_names_kernelbase,
    .complete = complete,
};

static int compare_names(const void *key, const void *member)
{
    return strcmp(key, *(const char *const *)member);
}

static bool is_exported(const char *name)
{
    return name && bsearch(name, win32_names_kernelbase, win32_names_kernelbase_count,
                           sizeof(*win32_names_kernelbase), compare_names);
}

/* The forwarder for one export; a forwarder of KERNEL32 keeps its target. */
static bool forward(const struct ldr_builtin_export *from, struct ldr_builtin_export *to)
{
    char target[256];
    *to = (struct ldr_builtin_export){.name = from->name, .kind = LDR_EXPORT_FORWARD};
    snprintf(target, sizeof(target), "KERNEL32.%s", from->name);
    to->forward = from->kind == LDR_EXPORT_FORWARD ? from->forward : strdup(target);
    return to->forward != NULL;
}

static void complete(void)
{
    size_t count = 0, used = 0;
    for (size_t i = 0; i < win32_kernel32.family_count; i++)
        count += win32_kernel32.families[i].count;
    struct ldr_builtin_export *exports =
        families[0].exports ? NULL : calloc(count, sizeof(*exports));
    if (!exports)
        return;
    for (size_t i = 0; i < win32_kernel32.family_count; i++) {
        const struct ldr_builtin_family *source = &win32_kernel32.families[i];
        for (size_t k = 0; k < source->count; k++) {
            if (is_exported(source->exports[k].name) &&
                forward(&source->exports[k], &exports[used]))
                used++;
        }
    }
    families[0].exports = exports; /* lives as long as the process */
    families[0].count = used;
    families[1] = (struct ldr_builtin_family){kernelbase_address_exports, kernelbase_address_count};
    families[2] = (struct ldr_builtin_family){kernelbase_mapping_exports, kernelbase_mapping_count};
    families[3] = (struct ldr_builtin_family){registry_exports, registry_count};
}

void win32_kernelbase_prepare(void)
{
    win32_kernelbase.name_count = win32_names_kernelbase_count;
}
