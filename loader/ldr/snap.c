/*
 * Snapping: walking a module's import directory, loading what it names, filling its IAT
 * (facts 3.4).
 *
 * Descriptors are read one after the other while earlier address tables have been written already:
 * tables may overlay the descriptors that are being walked (behaviours, Imports). Bound tables stay
 * as they are (bound.c); delay imports are the image's own business.
 */
#include "loader/ldr/snap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Work that one module may ask for: descriptors may share their tables and a table may be the whole
 * image, so the file's size is no bound. In bytes of names, with what an entry and a search for a
 * missing DLL cost beside them; enough for 100000 imports.
 */
#define IMPORT_BUDGET 0x2000000u
#define IMPORT_COST   64u
#define SHOWN_OF_NAME 200

static bool spend(struct ldr_snapping *snap, uint32_t cost)
{
    bool enough = cost <= snap->budget;
    snap->budget -= enough ? cost : snap->budget;
    return enough;
}

bool ldr_snap_spend(struct ldr_snapping *snap, uint32_t length)
{
    return spend(snap, IMPORT_COST + length);
}

/* Ends the walk: quietly when something is missing already, so that this is told. */
nt_status ldr_snap_never_ends(const struct ldr_snapping *snap, struct pe_error *err)
{
    return snap->load->report.count
               ? STATUS_SUCCESS
               : pe_fail(err, STATUS_INVALID_IMAGE_FORMAT, "%s: its import tables never end",
                         snap->module->name);
}

static void report_missing(struct ldr_snapping *snap, struct pe_str dll,
                           const struct pe_import *import, bool forwarded,
                           const struct pe_error *why)
{
    const char *importer = snap->module->name;
    int length = (int)dll.len;
    char name[SHOWN_OF_NAME + 1];
    if (import->by_ordinal) {
        snprintf(name, sizeof name, "#%u", import->ordinal);
    } else {
        snprintf(name, sizeof name, "%.*s", (int)import->name.len, import->name.ptr);
    }
    if (forwarded) {
        ldr_report_add(&snap->load->report, why->status, "%s -> %.*s!%s (%s)", importer, length,
                       dll.ptr, name, why->text);
    } else {
        ldr_report_add(&snap->load->report, why->status, "%s -> %.*s!%s", importer, length, dll.ptr,
                       name);
    }
}

/* An IAT in a SHARED PE section would hand this process's addresses to others (facts 1.6). Asked
 * once a page: tables are written from their beginning to their end. */
static nt_status own_pages(struct ldr_snapping *snap, uint32_t rva, uint32_t width,
                           struct pe_error *err)
{
    struct mm_view *view = snap->module->view;
    uint64_t end = (uint64_t)rva + width;
    nt_status status = STATUS_SUCCESS;
    if (mm_view_is_shared(view, rva, width)) {
        status = mm_view_privatize(view, rva, width, err);
    }
    if (nt_ok(status) && end <= mm_view_size(view)) {
        snap->own_from = rva & ~(PE_PAGE_SIZE - 1);
        snap->own_to = ((uint32_t)end + PE_PAGE_SIZE - 1) & ~(PE_PAGE_SIZE - 1);
    }
    return status;
}

static nt_status write_thunk(struct ldr_snapping *snap, uint32_t rva, uint64_t address,
                             struct pe_error *err)
{
    const struct pe_image *image = snap->image;
    uint32_t width = image->h.pe32_plus ? 8 : 4;
    if (rva < snap->own_from || rva >= snap->own_to || snap->own_to - rva < width) {
        nt_status status = own_pages(snap, rva, width, err);
        if (!nt_ok(status)) {
            return status;
        }
    }
    bool written = width == 8 ? pe_put_u64(image->bytes, rva, address)
                              : pe_put_u32(image->bytes, rva, (uint32_t)address);
    return written
               ? STATUS_SUCCESS
               : pe_fail(err, STATUS_INVALID_IMAGE_FORMAT,
                         "%s: the address table at 0x%x leaves the image", snap->module->name, rva);
}

/* Binds one import and writes its address; what is missing goes to the report. */
static nt_status snap_import(struct ldr_snapping *snap, const struct ldr_exporter *exporter,
                             struct pe_str dll, const struct pe_import *import,
                             struct pe_error *err)
{
    struct ldr_want want = {.ordinal = import->ordinal, .hint = import->hint};
    struct pe_error missing;
    bool forwarded;
    uint64_t address;
    want.name.ptr = import->by_ordinal ? NULL : import->name.ptr;
    want.name.len = import->name.len;
    missing.status = STATUS_SUCCESS; /* the rest of it is large, and seldom wanted */
    missing.text[0] = 0;
    nt_status status = ldr_bind(snap->load, exporter, &want, &address, &forwarded, &missing);
    if (nt_ok(status)) {
        return write_thunk(snap, import->thunk_rva, address, err);
    }
    report_missing(snap, dll, import, forwarded, &missing);
    return STATUS_SUCCESS;
}

nt_status ldr_snap_table(struct ldr_snapping *snap, struct ldr_module *exporter,
                         const struct pe_import_module *descriptor, struct pe_error *err)
{
    struct pe_import_iter it;
    struct pe_import import;
    struct ldr_exporter from;
    struct pe_name_walk walk = {0};
    int more;
    pe_imports(mm_view_image(snap->module->view), descriptor, &it);
    ldr_exporter_open(exporter, &from);
    from.walk = exporter == snap->module ? NULL : &walk;
    walk.expected = pe_imports_ahead(&it);
    while ((more = pe_import_next(&it, &import)) > 0) {
        if (!ldr_snap_spend(snap, import.name.len)) {
            return ldr_snap_never_ends(snap, err);
        }
        nt_status status = snap_import(snap, &from, descriptor->name, &import, err);
        if (!nt_ok(status)) {
            return status;
        }
        if (exporter == snap->module) { /* the address may lie in its own export directory */
            ldr_exporter_open(exporter, &from);
        }
    }
    return more == 0 ? STATUS_SUCCESS
                     : pe_fail(err, it.status, "%s: the imports from %.*s cannot be read",
                               snap->module->name, (int)descriptor->name.len, descriptor->name.ptr);
}

nt_status ldr_snap_exporter(struct ldr_snapping *snap, struct pe_str name, struct ldr_module **out,
                            struct pe_error *err)
{
    struct ldr_load *load = snap->load;
    struct pe_error why = {0};
    char *dll = strndup(name.ptr, name.len);
    *out = NULL;
    if (!dll) {
        return pe_fail(err, STATUS_NO_MEMORY, "%s: not enough memory", snap->module->name);
    }
    nt_status status = ldr_load_dependency(load, snap->module, dll, out, &why);
    if (!nt_ok(status)) {
        /* Several importers may miss one DLL: the directories are told once. */
        const char *text = strstr(load->report.text, why.text) ? "see above" : why.text;
        ldr_report_add(&load->report, status, "%s -> %s (%s)", snap->module->name, dll, text);
    }
    free(dll);
    return *out || spend(snap, LDR_MISSING_COST) ? STATUS_SUCCESS : ldr_snap_never_ends(snap, err);
}

static nt_status snap_descriptor(struct ldr_snapping *snap,
                                 const struct pe_import_module *descriptor, struct pe_error *err)
{
    struct ldr_module *exporter;
    if (descriptor->empty) {
        return STATUS_SUCCESS; /* its DLL is not loaded, whatever its name */
    }
    nt_status status = ldr_snap_exporter(snap, descriptor->name, &exporter, err);
    if (!nt_ok(status) || !exporter || ldr_is_bound(snap, descriptor, exporter)) {
        return status;
    }
    return ldr_snap_table(snap, exporter, descriptor, err);
}

static nt_status snap_all(struct ldr_snapping *snap, struct pe_import_module_iter *it,
                          struct pe_error *err)
{
    struct pe_import_module descriptor;
    int more;
    while ((more = pe_import_module_next(it, &descriptor)) > 0) {
        if (!ldr_snap_spend(snap, descriptor.name.len)) {
            return ldr_snap_never_ends(snap, err);
        }
        nt_status status = snap_descriptor(snap, &descriptor, err);
        if (!nt_ok(status)) {
            return status;
        }
    }
    return more == 0 ? STATUS_SUCCESS
                     : pe_fail(err, it->status, "%s: its import directory cannot be read",
                               snap->module->name);
}

nt_status ldr_snap(struct ldr_load *load, struct ldr_module *module, struct pe_error *err)
{
    const struct pe_image *image = mm_view_image(module->view);
    struct ldr_snapping snap = {
        .load = load, .module = module, .image = image, .budget = IMPORT_BUDGET};
    struct pe_import_module_iter imports;
    struct pe_bound_import_iter bound;
    if (!pe_import_modules(image, &imports)) {
        return STATUS_SUCCESS;
    }
    return image->windows == PE_WINDOWS_XP && pe_bound_imports(image, &bound)
               ? ldr_snap_bound_xp(&snap, &bound, err)
               : snap_all(&snap, &imports, err);
}
