/*
 * Snapping: walking a module's import directory, loading what it names, filling its IAT
 * (facts 3.4).
 *
 * Descriptors are read one after the other while earlier address tables have been written already:
 * tables may overlay the descriptors that are being walked (behaviours, Imports). Bound addresses
 * are a cache that is ignored; delay imports are the image's own business.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/ldr/load.h"
#include "pe/imports.h"

/*
 * Work that one module may ask for: descriptors may share their tables and a table may be the whole
 * image, so the file's size is no bound. In bytes of names, with what an entry and a search for a
 * missing DLL cost beside them; enough for 100000 imports.
 */
#define IMPORT_BUDGET 0x2000000u
#define IMPORT_COST   64u
#define MISSING_COST  0x10000u
#define SHOWN_OF_NAME 200

static bool spend(uint32_t *budget, uint32_t cost)
{
    bool enough = cost <= *budget;
    *budget -= enough ? cost : *budget;
    return enough;
}

/* Ends the walk: quietly when something is missing already, so that this is told. */
static nt_status never_ends(const struct ldr_load *load, const struct ldr_module *module,
                            struct pe_error *err)
{
    return load->report.count ? STATUS_SUCCESS
                              : pe_fail(err, STATUS_INVALID_IMAGE_FORMAT,
                                        "%s: its import tables never end", module->name);
}

static void report_missing(struct ldr_load *load, const struct ldr_module *module, const char *dll,
                           const struct pe_import *import, bool forwarded,
                           const struct pe_error *why)
{
    char name[SHOWN_OF_NAME + 1];
    if (import->by_ordinal) {
        snprintf(name, sizeof name, "#%u", import->ordinal);
    } else {
        snprintf(name, sizeof name, "%.*s", (int)import->name.len, import->name.ptr);
    }
    if (forwarded) {
        ldr_report_add(&load->report, why->status, "%s -> %s!%s (%s)", module->name, dll, name,
                       why->text);
    } else {
        ldr_report_add(&load->report, why->status, "%s -> %s!%s", module->name, dll, name);
    }
}

static nt_status write_thunk(struct ldr_module *module, uint32_t rva, uint64_t address,
                             struct pe_error *err)
{
    const struct pe_image *image = mm_view_image(module->view);
    uint32_t width = pe_pointer_size(image);
    nt_status status = STATUS_SUCCESS;
    /* An IAT in a SHARED PE section would hand this process's addresses to others (facts 1.6). */
    if (mm_view_is_shared(module->view, rva, width)) {
        status = mm_view_privatize(module->view, rva, width, err);
    }
    bool written = nt_ok(status) && (width == 8 ? pe_put_u64(image->bytes, rva, address)
                                                : pe_put_u32(image->bytes, rva, (uint32_t)address));
    if (nt_ok(status) && !written) {
        status = pe_fail(err, STATUS_INVALID_IMAGE_FORMAT,
                         "%s: the address table at 0x%x leaves the image", module->name, rva);
    }
    return status;
}

/* Fills the address table of one descriptor from `exporter`. */
static nt_status snap_table(struct ldr_load *load, struct ldr_module *module,
                            struct ldr_module *exporter, const char *dll, struct pe_import_iter it,
                            uint32_t *budget, struct pe_error *err)
{
    struct pe_import import;
    int more;
    while ((more = pe_import_next(&it, &import)) > 0) {
        if (!spend(budget, IMPORT_COST + import.name.len)) {
            return never_ends(load, module, err);
        }
        struct ldr_want want = {import.name, import.ordinal, import.hint};
        if (import.by_ordinal) {
            want.name.ptr = NULL;
        }
        struct pe_error missing = {0};
        bool forwarded;
        uint64_t address;
        nt_status status = ldr_bind(load, exporter, want, &address, &forwarded, &missing);
        if (!nt_ok(status)) {
            report_missing(load, module, dll, &import, forwarded, &missing);
        } else if (!nt_ok(status = write_thunk(module, import.thunk_rva, address, err))) {
            return status;
        }
    }
    return more == 0 ? STATUS_SUCCESS
                     : pe_fail(err, it.status, "%s: the imports from %s cannot be read",
                               module->name, dll);
}

/* Loads the DLL that a descriptor names; a failure is reported and the walk goes on. */
static struct ldr_module *load_exporter(struct ldr_load *load, struct ldr_module *module,
                                        const char *dll)
{
    struct pe_error why = {0};
    struct ldr_module *exporter = NULL;
    nt_status status = ldr_load_dependency(load, module, dll, &exporter, &why);
    if (nt_ok(status)) {
        return exporter;
    }
    /* Several importers may miss one DLL: the directories are told once. */
    const char *text = strstr(load->report.text, why.text) ? "see above" : why.text;
    ldr_report_add(&load->report, status, "%s -> %s (%s)", module->name, dll, text);
    return NULL;
}

static nt_status snap_descriptor(struct ldr_load *load, struct ldr_module *module,
                                 const struct pe_import_module *descriptor, uint32_t *budget,
                                 struct pe_error *err)
{
    struct pe_import_iter it;
    if (descriptor->empty) {
        return STATUS_SUCCESS; /* its DLL is not loaded, whatever its name */
    }
    pe_imports(mm_view_image(module->view), descriptor, &it);
    char *dll = strndup(descriptor->name.ptr, descriptor->name.len);
    if (!dll) {
        return pe_fail(err, STATUS_NO_MEMORY, "%s: not enough memory", module->name);
    }
    nt_status status = STATUS_SUCCESS;
    struct ldr_module *exporter = load_exporter(load, module, dll);
    if (exporter) {
        status = snap_table(load, module, exporter, dll, it, budget, err);
    } else if (!spend(budget, MISSING_COST)) {
        status = never_ends(load, module, err);
    }
    free(dll);
    return status;
}

nt_status ldr_snap(struct ldr_load *load, struct ldr_module *module, struct pe_error *err)
{
    struct pe_import_module_iter it;
    struct pe_import_module descriptor;
    uint32_t budget = IMPORT_BUDGET;
    if (!pe_import_modules(mm_view_image(module->view), &it)) {
        return STATUS_SUCCESS;
    }
    int more;
    while ((more = pe_import_module_next(&it, &descriptor)) > 0) {
        if (!spend(&budget, IMPORT_COST + descriptor.name.len)) {
            return never_ends(load, module, err);
        }
        nt_status status = snap_descriptor(load, module, &descriptor, &budget, err);
        if (!nt_ok(status)) {
            return status;
        }
    }
    return more == 0
               ? STATUS_SUCCESS
               : pe_fail(err, it.status, "%s: its import directory cannot be read", module->name);
}
