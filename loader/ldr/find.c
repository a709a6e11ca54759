/*
 * Finding loaded modules: by base name, path, file and address.
 *
 * Names: facts 3.1 (".dll" is appended to a name without extension, a trailing dot suppresses that,
 * comparison is without case) and 3.6 (API-set names stand for their host).
 */
#include <stdlib.h>
#include <string.h>

#include "loader/ldr/imagemap.h"
#include "loader/ldr/index.h"
#include "loader/ldr/module.h"
#include "loader/ldr/path.h"
#include "loader/ldr/search.h"

/* ---- names ---- */

char *ldr_canonical_name(const char *name, uint32_t flags)
{
    const char *host = ldr_is_path(name) ? NULL : ldr_apiset_host(name);
    const char *meant = host && *host ? host : name;
    size_t size = strlen(meant) + sizeof ".dll";
    char *full = malloc(size);
    if (full && !ldr_file_name(meant, flags, full, size)) {
        free(full);
        return NULL;
    }
    return full;
}

/* ---- look-up ---- */

bool ldr_module_valid(const struct ldr_module *module)
{
    ldr_lock();
    bool valid = ldr_index_has(module);
    ldr_unlock();
    return valid;
}

struct ldr_module *ldr_find_base_name(const char *name)
{
    return ldr_index_name(name);
}

struct ldr_module *ldr_find_file(const struct mm_file_id *file)
{
    return ldr_index_file(file);
}

/* It is listed in front of all others. */
struct ldr_module *ldr_find_exe(void)
{
    struct ldr_module *first = LDR_CONTAINER(ldr_load_order.next, struct ldr_module, order);
    return !ldr_link_alone(&ldr_load_order) && first->exe ? first : NULL;
}

/* Compares a path as a caller spells it with a module's Windows path, '/' being the same as '\'. */
static bool path_matches(const struct ldr_module *module, const char *path)
{
    char known[4096];
    size_t length = 0;
    while (module->windows_path[length]) {
        length++;
    }
    if (ldr_utf16_to_utf8(module->windows_path, length, known, sizeof known) >= sizeof known) {
        return false;
    }
    char spelled[4096];
    if (strlen(path) >= sizeof spelled) {
        return false;
    }
    strcpy(spelled, path);
    for (char *p = spelled; *p; p++) {
        *p = *p == '/' ? '\\' : *p;
    }
    return ldr_casecmp(known, spelled) == 0;
}

static struct ldr_module *find_path(const char *path)
{
    LDR_FOR_EACH(module, &ldr_load_order, order)
    {
        bool host_path = *module->path && strcmp(module->path, path) == 0;
        if (host_path || path_matches(module, path)) {
            return module;
        }
    }
    return NULL;
}

struct ldr_module *ldr_find(const char *name)
{
    char *full = name ? ldr_canonical_name(name, 0) : NULL;
    struct ldr_module *found = NULL;
    ldr_lock();
    if (!name) {
        found = ldr_find_exe();
    } else if (full) {
        found = ldr_is_path(full) ? find_path(full) : ldr_find_base_name(full);
    }
    ldr_unlock();
    free(full);
    return found;
}

struct ldr_module *ldr_find_by_address(uint64_t address)
{
    struct ldr_image_range range;
    struct ldr_module *found = NULL;
    ldr_lock();
    if ((uintptr_t)address == address && ldr_image_at((uintptr_t)address, &range) &&
        !ldr_link_alone(&range.module->order)) {
        found = range.module;
    }
    ldr_unlock();
    return found;
}

struct ldr_module *ldr_next(struct ldr_module *module)
{
    ldr_lock();
    struct ldr_link *next = module ? module->order.next : ldr_load_order.next;
    struct ldr_module *found =
        next == &ldr_load_order ? NULL : LDR_CONTAINER(next, struct ldr_module, order);
    ldr_unlock();
    return found;
}
