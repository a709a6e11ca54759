/*
 * Looking up exports: by hint, name and ordinal, through forwarders (facts 3.5).
 *
 * The module that a forwarder names is loaded as a dependency of the forwarding module. Chains may
 * pass through the same module several times (behaviours, Exports), so a loop is told by its
 * length.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/ldr/builtin_image.h"
#include "loader/ldr/load.h"
#include "loader/ldr/locate.h"

#define MAX_FORWARDS  64u
#define SHOWN_OF_NAME 200

/*
 * What one load may spend on forwarders: a small file may ask for millions that go round in
 * circles, are long, or lead to a DLL that is searched for each time. In bytes of forwarders, with
 * what a step and a failed search cost beside them; enough for 400000 steps.
 */
#define FORWARD_BUDGET 0x8000000u
#define FORWARD_COST   256u
#define MISSING_COST   0x10000u

/* "foo" or "#12", for messages. */
static const char *want_text(const struct ldr_want *want, char *buffer, size_t size)
{
    int length = want->name.len < SHOWN_OF_NAME ? (int)want->name.len : SHOWN_OF_NAME;
    if (want->name.ptr) {
        snprintf(buffer, size, "%.*s", length, want->name.ptr);
    } else {
        snprintf(buffer, size, "#%u", want->ordinal);
    }
    return buffer;
}

static nt_status not_found(const struct ldr_module *module, const struct ldr_want *want,
                           const char *why, struct pe_error *err)
{
    char text[SHOWN_OF_NAME + 8];
    nt_status status = want->name.ptr ? STATUS_ENTRYPOINT_NOT_FOUND : STATUS_ORDINAL_NOT_FOUND;
    return pe_fail(err, status, "%s %s %s", module->name, why, want_text(want, text, sizeof text));
}

void ldr_exporter_open(struct ldr_module *module, struct ldr_exporter *out)
{
    const struct pe_image *image = mm_view_image(module->view);
    out->module = module;
    out->base = mm_view_base(module->view);
    out->mask = image->h.pe32_plus ? UINT64_MAX : UINT32_MAX;
    out->has_exports = pe_exports_open(image, &out->exports);
    out->walk = NULL;
}

static bool look_up(const struct ldr_exporter *exporter, const struct ldr_want *want,
                    struct pe_export *out)
{
    const struct pe_exports *exports = &exporter->exports;
    struct pe_str name = {want->name.ptr, want->name.len};
    if (!exporter->has_exports) {
        return false;
    }
    /* An ordinal's name is of no interest here and would have to be searched for. */
    if (!name.ptr) {
        return pe_export_unnamed(exports, want->ordinal - exports->ordinal_base, out);
    }
    return exporter->walk
               ? pe_export_by_name_in_walk(exports, exporter->walk, name, want->hint, out)
               : pe_export_by_name(exports, name, want->hint, out);
}

/* False when the load has nothing left for it. */
static bool spend(struct ldr_load *load, uint32_t cost)
{
    bool enough = cost <= FORWARD_BUDGET - load->forward_work;
    load->forward_work = enough ? load->forward_work + cost : FORWARD_BUDGET;
    return enough;
}

/* One step along a forwarder: the module and the name it leads to. */
static nt_status follow(struct ldr_load *load, struct ldr_module **module, struct ldr_want *want,
                        struct pe_str forwarder, struct pe_error *err)
{
    struct pe_str target, name;
    uint16_t ordinal;
    if (!load) {
        return not_found(*module, want, "is mapped only and cannot follow the forwarder", err);
    }
    if (!spend(load, FORWARD_COST + forwarder.len)) {
        return not_found(*module, want, "forwards too often to be followed to", err);
    }
    if (!pe_forwarder_split(forwarder, &target, &name, &ordinal) ||
        target.len > PE_MAX_MODULENAME) {
        return not_found(*module, want, "has a malformed forwarder for", err);
    }
    char *target_name = strndup(target.ptr, target.len);
    if (!target_name) {
        return pe_fail(err, STATUS_NO_MEMORY, "%s: not enough memory", (*module)->name);
    }
    nt_status status = ldr_load_dependency(load, *module, target_name, module, err);
    free(target_name);
    if (!nt_ok(status)) {
        spend(load, MISSING_COST);
    }
    *want = (struct ldr_want){name, ordinal, LDR_NO_HINT};
    return status;
}

static uint64_t address_of(const struct ldr_exporter *exporter, const struct pe_export *found)
{
    return (exporter->base + found->rva) & exporter->mask;
}

/* From a forwarder to the address at the end of its chain. */
static nt_status bind_forwarded(struct ldr_load *load, struct ldr_module *module,
                                struct ldr_want want, struct pe_str forwarder, uint64_t *address,
                                struct pe_error *err)
{
    const struct ldr_module *first = module;
    const struct ldr_want wanted = want;
    for (uint32_t step = 1; step < MAX_FORWARDS; step++) {
        struct ldr_exporter at;
        struct pe_export found;
        nt_status status = follow(load, &module, &want, forwarder, err);
        if (!nt_ok(status)) {
            return status;
        }
        ldr_exporter_open(module, &at);
        if (!look_up(&at, &want, &found)) {
            return not_found(module, &want, "does not export", err);
        }
        if (!found.forwarder.ptr) {
            *address = address_of(&at, &found);
            return STATUS_SUCCESS;
        }
        forwarder = found.forwarder;
    }
    return not_found(first, &wanted, "has a loop of forwarders behind", err);
}

nt_status ldr_bind(struct ldr_load *load, const struct ldr_exporter *exporter,
                   const struct ldr_want *want, uint64_t *address, bool *forwarded,
                   struct pe_error *err)
{
    struct pe_export found;
    *forwarded = false;
    if (!look_up(exporter, want, &found)) {
        return not_found(exporter->module, want, "does not export", err);
    }
    if (found.forwarder.ptr) {
        *forwarded = true;
        return bind_forwarded(load, exporter->module, *want, found.forwarder, address, err);
    }
    *address = address_of(exporter, &found);
    return STATUS_SUCCESS;
}

/* Binds within a load of its own: a forwarder may bring in modules, which are then initialised. */
static nt_status bind_and_initialize(const struct ldr_exporter *exporter,
                                     const struct ldr_want *want, uint64_t *address,
                                     struct pe_error *err)
{
    struct ldr_module *module = exporter->module;
    /* What it forwards to may lie beside it, as what it imports may (ldr/search.h). */
    char *directory = ldr_directory_of(module->path);
    struct ldr_load load = {.directory = directory};
    bool forwarded;
    nt_status status = ldr_bind(&load, exporter, want, address, &forwarded, err);
    if (nt_ok(status)) {
        status = ldr_report_finish(&load.report, module->name, err);
    }
    if (nt_ok(status)) {
        status = ldr_load_seal(&load, err);
    }
    for (uint32_t i = 0; i < load.staged_count && nt_ok(status); i++) {
        status = ldr_initialize(load.staged[i], err);
    }
    ldr_load_end(&load, nt_ok(status));
    free(directory);
    return status;
}

/*
 * A static import of a function that is not written yet binds to its trap (design, decision 9). Who
 * asks for it at run time has a way to go on without, so the honest answer is that it is not there.
 */
static bool is_unwritten(const struct ldr_module *module, const struct ldr_want *want,
                         const struct pe_export *found)
{
    return module->builtin && want->name.ptr &&
           ldr_builtin_is_trap(mm_view_image(module->view), found->rva);
}

static nt_status find_symbol(struct ldr_module *module, const struct ldr_want *want,
                             uint64_t *address, struct pe_error *err)
{
    struct ldr_exporter exporter;
    struct pe_export found;
    bool forwarded;
    if (module->kind == LDR_KIND_DATA) {
        return not_found(module, want, "is loaded as data and has no", err);
    }
    ldr_exporter_open(module, &exporter);
    if (!look_up(&exporter, want, &found)) {
        return not_found(module, want, "does not export", err);
    }
    if (found.forwarder.ptr) {
        return module->kind == LDR_KIND_PRIVATE
                   ? ldr_bind(NULL, &exporter, want, address, &forwarded, err)
                   : bind_and_initialize(&exporter, want, address, err);
    }
    if (is_unwritten(module, want, &found)) {
        return not_found(module, want, "has no implementation yet of", err);
    }
    *address = address_of(&exporter, &found);
    return STATUS_SUCCESS;
}

nt_status ldr_symbol(struct ldr_module *module, const char *name, uint16_t ordinal,
                     uint64_t *address, struct pe_error *err)
{
    struct ldr_want want = {{name, name ? (uint32_t)strlen(name) : 0}, ordinal, LDR_NO_HINT};
    ldr_lock();
    nt_status status =
        ldr_module_valid(module)
            ? find_symbol(module, &want, address, err)
            : pe_fail(err, STATUS_INVALID_HANDLE, "%p is no loaded module", (const void *)module);
    ldr_unlock();
    return status;
}
