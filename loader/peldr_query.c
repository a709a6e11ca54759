/*
 * The public API: what is loaded, where, from where, how it got there (loader/peldr.h).
 */
#include <stdio.h>
#include <string.h>

#include "loader/ldr/ldr.h"
#include "loader/mm/snapshot.h"
#include "loader/peldr_api.h"

/* ---- modules ---- */

/* A closed module is an error, not a crash. */
static bool is_module(const peldr_module *module, struct pe_error *err)
{
    return ldr_module_valid(module) ||
           peldr_result(pe_fail(err, STATUS_INVALID_HANDLE, "%p is no loaded module",
                                (const void *)module)) == 0;
}

int peldr_module_info(peldr_module *module, struct peldr_module_info *out)
{
    struct pe_error *err = peldr_begin();
    if (!is_module(module, err)) {
        return -1;
    }
    const struct pe_image *image = ldr_module_image(module);
    const struct mm_view *view = ldr_module_view(module);
    *out = (struct peldr_module_info){
        .name = ldr_module_name(module),
        .path = ldr_module_path(module),
        .base = ldr_module_base(module),
        .preferred_base = view    ? ldr_module_relocation(module)->preferred_base
                          : image ? image->h.image_base
                                  : 0,
        .size = view    ? mm_view_size(view)
                : image ? pe_mapped_size(image)
                        : 0,
        .machine = image ? image->h.machine : 0,
        .builtin = ldr_module_is_builtin(module),
        .references = ldr_module_references(module),
        .entry_point = ldr_module_entry_point(module),
    };
    return 0;
}

peldr_module *peldr_next_module(peldr_module *module)
{
    struct pe_error *err = peldr_begin();
    return !module || is_module(module, err) ? ldr_next(module) : NULL;
}

peldr_module *peldr_module_at(uint64_t address)
{
    peldr_begin();
    return ldr_find_by_address(address);
}

/* ---- regions ---- */

const char *peldr_protect_name(uint32_t protect)
{
    return mm_protect_name(protect);
}

static const char *backing_name(enum mm_backing backing)
{
    static const char *const names[] = {
        [MM_BACKING_NONE] = "none",
        [MM_BACKING_IMAGE_FILE] = "image_file",
        [MM_BACKING_PAGING_FILE] = "paging_file",
        [MM_BACKING_SHARED_SECTION] = "shared_section",
        [MM_BACKING_DATA_FILE] = "data_file",
    };
    return names[backing];
}

/* `module` NULL = the region belongs to none. */
static void fill_region(const struct mm_region *region, const struct ldr_module *module,
                        struct peldr_region *out)
{
    *out = (struct peldr_region){
        .address = region->base,
        .size = region->size,
        .allocation_base = region->allocation_base,
        .rva = module ? (uint32_t)(region->base - ldr_module_base(module)) : 0,
        .state = region->state,
        .type = region->type,
        .protect = region->protect,
        .initial_protect = region->initial_protect,
        .allocation_protect = region->allocation_protect,
        .backing = backing_name(region->backing),
        .pages_private = region->pages_private,
    };
    struct pe_section section;
    const struct mm_view *view = module ? ldr_module_view(module) : NULL;
    if (view && region->pe_section >= 0 &&
        pe_section_at(mm_view_image(view), (uint32_t)region->pe_section, &section)) {
        memcpy(out->section, section.name, sizeof out->section);
    }
}

int peldr_next_region(peldr_module *module, uint32_t *cursor, struct peldr_region *out)
{
    struct pe_error *err = peldr_begin();
    struct mm_region region;
    if (!is_module(module, err)) {
        return -1;
    }
    const struct mm_view *view = ldr_module_view(module);
    if (view) {
        if (!mm_view_next_region(view, cursor, &region)) {
            return 0;
        }
    } else if (*cursor != 0) {
        return 0;
    } else if (peldr_result(mm_query(ldr_module_base(module), &region)) != 0) {
        return -1;
    } else {
        *cursor = 1; /* flat data is one region */
    }
    fill_region(&region, module, out);
    return 1;
}

int peldr_query(uint64_t address, struct peldr_region *out)
{
    peldr_begin();
    struct mm_region region;
    if (peldr_result(mm_query(address, &region)) != 0) {
        return -1;
    }
    ldr_lock();
    fill_region(&region, ldr_find_by_address(region.base), out);
    ldr_unlock();
    return 0;
}

/* ---- relocation ---- */

int peldr_relocation(peldr_module *module, struct peldr_relocation *out)
{
    static const char *const outcomes[] = {
        [RELOC_NOT_NEEDED] = "not_needed",
        [RELOC_APPLIED] = "applied",
        [RELOC_REFUSED] = "refused",
    };
    struct pe_error *err = peldr_begin();
    if (!is_module(module, err)) {
        return -1;
    }
    if (!ldr_module_view(module)) {
        return peldr_result(pe_fail(err, STATUS_INVALID_HANDLE, "%s is not mapped as an image",
                                    ldr_module_name(module)));
    }
    const struct reloc_plan *plan = ldr_module_relocation(module);
    const char *because = ldr_module_moved_because(module);
    *out = (struct peldr_relocation){
        .outcome = outcomes[plan->outcome],
        .source = plan->outcome != RELOC_APPLIED            ? ""
                  : ldr_module_relocation_is_cached(module) ? "cached"
                                                            : "applied",
        .reason = plan->outcome == RELOC_APPLIED && *because ? because : plan->reason,
        .preferred_base = plan->preferred_base,
        .actual_base = plan->actual_base,
        .fixups_total = plan->fixups_total,
        .pages_dirtied = plan->pages_dirtied,
    };
    memcpy(out->fixups, plan->fixups, sizeof out->fixups);
    return 0;
}

/* ---- search and address space ---- */

int peldr_resolve(const char *name, const char *importer_dir, uint16_t machine, char *resolved,
                  size_t resolved_size, char *searched, size_t searched_size)
{
    static const int results[] = {
        [LDR_FOUND_NOTHING] = 0, [LDR_FOUND_FILE] = 1, [LDR_FOUND_BUILTIN] = 2};
    struct pe_error *err = peldr_begin();
    if (!name || !resolved) {
        peldr_result(pe_fail(err, STATUS_INVALID_PARAMETER, "a parameter is NULL"));
        return 0;
    }
    return results[ldr_resolve(name, importer_dir, 0, machine, resolved, resolved_size, searched,
                               searched_size)];
}

int peldr_reserve(uint64_t address, uint64_t size)
{
    struct pe_error *err = peldr_begin();
    uint64_t base = address;
    if (address == 0 || address % PE_GRANULARITY != 0) {
        return peldr_result(pe_fail(err, STATUS_MAPPED_ALIGNMENT,
                                    "reservations begin at multiples of 0x10000, not at 0x%llx",
                                    (unsigned long long)address));
    }
    nt_status status = mm_alloc(&base, &size, MEM_RESERVE, PAGE_NOACCESS, err);
    if (nt_ok(status)) {
        mm_exempt(base);
    }
    return peldr_result(status);
}

int peldr_release(uint64_t address)
{
    struct pe_error *err = peldr_begin();
    return peldr_result(mm_free(address, 0, MEM_RELEASE, err));
}
