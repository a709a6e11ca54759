/*
 * Mapping and relocating one image (facts 2.1, 2.3).
 *
 * The preferred base is honoured when it is free. A view that lies elsewhere has its fixups applied
 * here, in user mode; without relocations the load is refused, with what holds the base.
 */
#include "loader/ldr/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/ldr/builtin_image.h"
#include "loader/ldr/entry.h"
#include "loader/ldr/imagemap.h"
#include "loader/ob/fileshare.h"
#include "loader/ob/image_registry.h"
#include "pe/rules.h"

/* ---- machine ---- */

/* No entry point and nothing executable: such an image is data, whatever machine it names. */
static bool is_code_free(struct mm_section *section)
{
    uint32_t count;
    const struct mm_extent *extents = mm_section_extents(section, &count);
    const uint32_t executable =
        PAGE_EXECUTE | PAGE_EXECUTE_READ | PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY;
    for (uint32_t i = 0; i < count; i++) {
        if (extents[i].protect & executable) {
            return false;
        }
    }
    return mm_section_headers(section)->address_of_entry_point == 0;
}

static nt_status check_machine(struct mm_section *section, const char *name, uint32_t flags,
                               bool *foreign, struct pe_error *err)
{
    uint16_t machine = mm_section_headers(section)->machine;
    *foreign = machine != LDR_HOST_MACHINE;
    if (!*foreign || (flags & LDR_MAP_ANY_MACHINE) ||
        ((flags & LDR_MAP_DATA_OF_ANY_MACHINE) && is_code_free(section))) {
        return STATUS_SUCCESS;
    }
    return pe_fail(err, STATUS_INVALID_IMAGE_FORMAT, "%s is an %s image; this host runs %s", name,
                   pe_machine_name(machine), pe_machine_name(LDR_HOST_MACHINE));
}

/* ---- where it goes ---- */

/* Import address tables and TLS indices are written before the view is sealed. */
static bool is_written_at_load(const struct pe_headers *h)
{
    return h->directory[IMAGE_DIRECTORY_ENTRY_IMPORT].rva != 0 ||
           h->directory[IMAGE_DIRECTORY_ENTRY_TLS].rva != 0;
}

/*
 * A relocated form that another load has made is taken for DLLs only: programs are asked other
 * rules, and before fixups have changed what they ask.
 */
static nt_status map_view(struct ldr_module *module, struct mm_section *section, uint32_t flags,
                          uint64_t base, struct pe_error *err)
{
    const struct pe_headers *h = mm_section_headers(section);
    bool moved = base != 0 && base != h->image_base; /* fixups are going to be written */
    struct mm_map_options options = {
        .base = base,
        .exact = base != 0,
        .shared_fd = module->backing ? ob_backing_fd(module->backing) : -1,
        .below_4gib = !h->pe32_plus,
        .below_2gib = !(h->characteristics & IMAGE_FILE_LARGE_ADDRESS_AWARE),
        .relocatable = !module->builtin && !(flags & (LDR_MAP_UNRELOCATED | LDR_MAP_PROGRAM)),
        .lasting = module->builtin,
        .sealed = !moved && !is_written_at_load(h) &&
                  (!module->builtin || ldr_prepared_is_bound(module->builtin)),
    };
    nt_status status = mm_view_map(section, &options, &module->view, module->moved_because,
                                   sizeof module->moved_because, err);
    /* A PE section may lie over the headers and have directories of its own. */
    if (nt_ok(status) && is_written_at_load(&mm_view_image(module->view)->h)) {
        nt_status opened = mm_view_unseal(module->view, err);
        status = nt_ok(opened) ? status : opened;
    }
    if (!nt_ok(status)) {
        return status;
    }
    if (mm_view_base(module->view) == h->image_base) {
        module->moved_because[0] = '\0';
    } else if (base) {
        snprintf(module->moved_because, sizeof module->moved_because, "0x%llx was asked for",
                 (unsigned long long)base);
    }
    return STATUS_SUCCESS;
}

/* ---- rules ---- */

static const struct pe_rule_query dll_rules = {PE_STAGE_LOADER, PE_ROLE_DLL};

/* Builtin modules are what Windows would accept; what is mapped for its owner alone is asked for
 * nothing but what every section object is. */
static nt_status check_rules(const struct ldr_module *module, uint32_t flags, struct pe_error *err)
{
    struct pe_rule_query query = dll_rules;
    if (flags & LDR_MAP_PROGRAM) {
        query = (struct pe_rule_query){PE_STAGE_PROCESS | PE_STAGE_LOADER, PE_ROLE_PROGRAM};
    }
    /* Whoever has made the relocated form has asked them, before fixups changed what they ask. */
    struct mm_section *section = mm_view_section(module->view);
    bool asked = mm_section_fixups(section) || (mm_section_marks(section) & query.roles);
    if (module->builtin || module->kind != LDR_KIND_IMAGE || asked) {
        return STATUS_SUCCESS;
    }
    nt_status status = pe_rules_check(mm_view_image(module->view), query, err);
    if (!nt_ok(status)) {
        pe_error_prefix(err, "%s: ", module->name);
        return status;
    }
    mm_section_mark(section, query.roles); /* by the version that the section is made for */
    return status;
}

/* Whether every DLL's load may use this image when it has been relocated: its rules hold. */
static bool suits_all(const struct ldr_module *module)
{
    struct pe_error ignored = {0};
    return module->kind == LDR_KIND_IMAGE ||
           nt_ok(pe_rules_check(mm_view_image(module->view), dll_rules, &ignored));
}

/* ---- fixups ---- */

/* Fixups in SHARED pages are written once, by the process that made their content (facts 1.6). */
static bool is_not_shared(void *view, uint32_t rva, uint32_t len)
{
    return !mm_view_is_shared(view, rva, len);
}

static uint32_t prepare(void *view, uint32_t rva, uint32_t len)
{
    return mm_view_prepare_write(view, rva, len);
}

/*
 * A fixup may have changed e_lfanew: what is read from now on comes from the headers that it
 * designates. XP has found the imports before (behaviours, Relocations); when there are no headers
 * it is left with what it has.
 */
static nt_status follow_headers(struct mm_view *view, struct pe_error *err)
{
    const struct pe_image *image = mm_view_image(view);
    bool xp = image->windows == PE_WINDOWS_XP;
    uint32_t lfanew;
    if (!pe_rva_u32(image, 0x3c, &lfanew) || lfanew == image->h.e_lfanew ||
        image->windows == PE_WINDOWS_10) {
        return STATUS_SUCCESS;
    }
    if (mm_view_reread_directories(view, xp) || xp) {
        return STATUS_SUCCESS;
    }
    char found[128];
    snprintf(found, sizeof found, "fixups change e_lfanew to 0x%x, where no NT headers are",
             lfanew);
    return pe_rule_refuse(err, pe_rule_find(image, "reloc.headers"), found);
}

nt_status ldr_relocate(struct mm_view *view, uint64_t base, bool owns_shared,
                       struct reloc_plan *plan, struct pe_error *err)
{
    const struct pe_image *image = mm_view_image(view);
    bool shares = mm_section_shared_size(mm_view_section(view)) != 0;
    /* Shared pages have nothing private to prepare. */
    const struct reloc_memory memory = {
        .user = view,
        .may_write = shares && !owns_shared ? is_not_shared : NULL,
        .prepare = shares ? NULL : prepare,
    };
    int64_t delta = (int64_t)(base - image->h.image_base);
    nt_status status = reloc_apply_in(image, delta, &memory, plan, err);
    return nt_ok(status) && plan->outcome == RELOC_APPLIED ? follow_headers(view, err) : status;
}

/*
 * Whoever relocates a program that has to move also corrects where its thread starts: by the
 * distance to the ImageBase that memory shows then, which fixups may have changed (behaviours,
 * Relocations).
 */
static void correct_entry(struct ldr_module *module, uint32_t flags)
{
    const struct pe_image *image = mm_view_image(module->view);
    if ((flags & LDR_MAP_PROGRAM) && module->relocation.outcome == RELOC_APPLIED &&
        pe_must_move(image)) {
        module->entry_shift = image->h.image_base - mm_view_shown_base(module->view);
    }
}

static nt_status relocate(struct ldr_module *module, uint32_t flags, bool owns_shared,
                          struct pe_error *err)
{
    const struct pe_image *image = mm_view_image(module->view);
    uint64_t base = mm_view_base(module->view);
    const struct reloc_plan *made = mm_section_fixups(mm_view_section(module->view));
    struct pe_error why = {0};
    bool keep = false;
    if (made) {
        module->relocation = *made;
        module->relocation_cached = true;
        return STATUS_SUCCESS;
    }
    if (base != image->h.image_base) {
        nt_status opened = mm_view_unseal(module->view, err);
        if (!nt_ok(opened)) {
            return opened;
        }
        keep = suits_all(module);
    }
    nt_status status = ldr_relocate(module->view, base, owns_shared, &module->relocation, &why);
    if (!nt_ok(status)) {
        const char *because = ldr_module_moved_because(module);
        return pe_fail_rule(err, status, why.rule, "%s: %s%s%s%s", module->name, why.text,
                            *because ? " (" : "", because, *because ? ")" : "");
    }
    correct_entry(module, flags);
    if (base != image->h.image_base &&
        (image->h.dll_characteristics & IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE)) {
        status = mm_view_patch_image_base(module->view, err);
    }
    if (nt_ok(status) && keep && module->relocation.outcome == RELOC_APPLIED) {
        mm_view_keep_relocated(module->view, &module->relocation);
    }
    return status;
}

static void stays_unrelocated(struct ldr_module *module)
{
    module->relocation = (struct reloc_plan){
        .outcome = RELOC_NOT_NEEDED,
        .reason = "mapped for its resources",
        .preferred_base = mm_view_image(module->view)->h.image_base,
        .actual_base = mm_view_base(module->view),
    };
}

/* ---- images ---- */

static nt_status create_section(const struct ldr_source *source, struct mm_section **out,
                                struct pe_error *err)
{
    if (source->builtin) {
        return ldr_builtin_section(source->builtin, out, err);
    }
    if (source->bytes) {
        return mm_section_create_image_from_memory(source->bytes, source->size, source->name,
                                                   mm_windows(), out, err);
    }
    ob_image_registry_start();
    return mm_section_create_image_of(source->fd, &source->st, source->name, mm_windows(), out,
                                      err);
}

/* Maps the section into the record and relocates it. */
static nt_status map_section(struct ldr_module *module, struct mm_section *section, uint32_t flags,
                             uint64_t base, struct pe_error *err)
{
    bool owns_shared = false;
    nt_status status = STATUS_SUCCESS;
    module->has_file = mm_section_file_id(section, &module->file);
    if (module->has_file && mm_section_shared_size(section)) {
        status = ob_backing_open_image(section, &module->backing, &owns_shared, err);
    }
    if (nt_ok(status)) {
        status = map_view(module, section, flags, base, err);
    }
    if (nt_ok(status)) {
        status = check_rules(module, flags, err);
    }
    if (!nt_ok(status)) {
        return status;
    }
    if (flags & LDR_MAP_UNRELOCATED) {
        stays_unrelocated(module);
        return STATUS_SUCCESS;
    }
    return relocate(module, flags, owns_shared, err);
}

/* Facts 1.6: as long as an image is mapped nobody writes or deletes its file. */
static void keep_file(struct ldr_module *module, struct ldr_source *source)
{
    if (!source->builtin && !source->bytes) {
        module->file_fd = source->fd;
        source->fd = -1;
        ob_fileshare_use(module->file_fd, OB_FILE_IMAGE);
    }
}

nt_status ldr_map_image(struct ldr_source *source, enum ldr_kind kind, uint32_t flags,
                        uint64_t base, struct ldr_module **out, struct pe_error *err)
{
    struct mm_section *section = NULL;
    struct ldr_module *module = NULL;
    bool foreign = false;
    nt_status status = create_section(source, &section, err);
    if (nt_ok(status)) {
        status = check_machine(section, source->name, flags, &foreign, err);
    }
    if (nt_ok(status)) {
        status = ldr_module_create(kind, source->name, source->path, source->builtin != NULL,
                                   &module, err);
    }
    if (nt_ok(status)) {
        module->builtin = source->builtin;
        module->inert = foreign || source->builtin;
        status = map_section(module, section, flags, base, err);
    }
    if (nt_ok(status) && source->builtin) {
        ldr_builtin_connect(source->builtin, mm_view_image(module->view));
    }
    if (nt_ok(status)) {
        status = mm_section_finish(section, err);
    }
    if (nt_ok(status) && kind == LDR_KIND_IMAGE) {
        status = ldr_entry_create(module, &module->entry, err);
    }
    if (nt_ok(status) && kind == LDR_KIND_IMAGE) {
        status = ldr_image_add(module, err);
    }
    mm_section_unref(section);
    if (!nt_ok(status)) {
        ldr_module_destroy(module);
        return status;
    }
    keep_file(module, source);
    *out = module;
    return STATUS_SUCCESS;
}
