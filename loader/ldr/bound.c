/*
 * Bound imports: address tables that were filled when the image was made (facts 3.6; behaviours,
 * Imports).
 *
 * Nothing but time stamps and bases is compared: an address in a table that counts as bound is
 * called unchecked, wherever it points. A descriptor's TimeDateStamp is 0 when its table is not
 * bound, -1 when the directory of bound imports knows the stamps, and the exporter's own stamp in
 * the older way of binding (PE specification, "Import Directory Table").
 */
#include <string.h>
#include <strings.h>

#include "loader/ldr/snap.h"

#define NEW_STYLE     UINT32_MAX /* TimeDateStamp */
#define NO_FORWARDERS UINT32_MAX /* ForwarderChain, which only the older way needs */

static bool same_name(struct pe_str a, struct pe_str b)
{
    return a.len == b.len && strncasecmp(a.ptr, b.ptr, a.len) == 0;
}

static bool matches(const struct ldr_module *exporter, uint32_t time_date_stamp)
{
    return mm_view_image(exporter->view)->h.time_date_stamp == time_date_stamp &&
           exporter->relocation.delta == 0;
}

/* A module that the exporter forwards to. One that does not exist makes the table out of date, no
 * more: whether it is needed is found out when the exports are looked up. */
static bool reference_matches(struct ldr_snapping *snap, const struct pe_bound_import *reference)
{
    char name[PE_MAX_MODULENAME + 1];
    struct pe_error why = {0};
    struct ldr_module *module;
    if (!ldr_snap_spend(snap, reference->name.len) || reference->name.len >= sizeof(name)) {
        return false;
    }
    memcpy(name, reference->name.ptr, reference->name.len);
    name[reference->name.len] = '\0';
    nt_status status = ldr_load_dependency(snap->load, snap->module, name, &module, &why);
    if (nt_ok(status)) {
        return matches(module, reference->time_date_stamp);
    }
    ldr_snap_spend(snap, LDR_MISSING_COST);
    if (status != (nt_status)STATUS_DLL_NOT_FOUND) { /* it is there, half loaded */
        ldr_report_add(&snap->load->report, status, "%s -> %s (%s)", snap->module->name, name,
                       why.text);
    }
    return false;
}

/* Steps over the references of the entry that was read last, as far as they can be read. */
static bool references_match(struct ldr_snapping *snap, struct pe_bound_import_iter *it)
{
    struct pe_bound_import reference;
    bool all = true;
    while (it->refs_left > 0) {
        if (pe_bound_import_next(it, &reference) <= 0) {
            return false;
        }
        all = all && reference_matches(snap, &reference);
    }
    return all;
}

bool ldr_is_bound(struct ldr_snapping *snap, const struct pe_import_module *descriptor,
                  const struct ldr_module *exporter)
{
    struct pe_bound_import_iter it;
    struct pe_bound_import entry;
    if (descriptor->time_date_stamp != NEW_STYLE) {
        return descriptor->time_date_stamp != 0 && descriptor->forwarder_chain == NO_FORWARDERS &&
               matches(exporter, descriptor->time_date_stamp);
    }
    if (!pe_bound_imports(mm_view_image(snap->module->view), &it)) {
        return false;
    }
    while (pe_bound_import_next(&it, &entry) > 0 && ldr_snap_spend(snap, entry.name.len)) {
        if (!entry.forwarder_ref && same_name(entry.name, descriptor->name)) {
            return matches(exporter, entry.time_date_stamp) && references_match(snap, &it);
        }
    }
    return false;
}

/* ---- Windows XP ---- */

/* Snaps the descriptor that names what an entry of the directory names. */
static nt_status snap_named(struct ldr_snapping *snap, struct pe_str name,
                            struct ldr_module *exporter, struct pe_error *err)
{
    struct pe_import_module_iter it;
    struct pe_import_module descriptor;
    int more = pe_import_modules(mm_view_image(snap->module->view), &it)
                   ? pe_import_module_next(&it, &descriptor)
                   : 0;
    while (more > 0 && !same_name(descriptor.name, name)) {
        if (!ldr_snap_spend(snap, descriptor.name.len)) {
            return ldr_snap_never_ends(snap, err);
        }
        more = pe_import_module_next(&it, &descriptor);
    }
    return more > 0 ? ldr_snap_table(snap, exporter, &descriptor, err)
                    : pe_fail(err, STATUS_OBJECT_NAME_INVALID,
                              "%s: bound to %.*s, which it does not import", snap->module->name,
                              (int)name.len, name.ptr);
}

nt_status ldr_snap_bound_xp(struct ldr_snapping *snap, struct pe_bound_import_iter *it,
                            struct pe_error *err)
{
    struct pe_bound_import entry;
    int more;
    while ((more = pe_bound_import_next(it, &entry)) > 0) {
        struct ldr_module *exporter;
        if (!ldr_snap_spend(snap, entry.name.len)) {
            return ldr_snap_never_ends(snap, err);
        }
        nt_status status = ldr_snap_exporter(snap, entry.name, &exporter, err);
        bool references = nt_ok(status) && references_match(snap, it);
        bool valid = exporter && matches(exporter, entry.time_date_stamp) && references;
        if (nt_ok(status) && exporter && !valid) {
            status = snap_named(snap, entry.name, exporter, err);
        }
        if (!nt_ok(status)) {
            return status;
        }
    }
    return more == 0
               ? STATUS_SUCCESS
               : pe_fail(err, STATUS_INVALID_IMAGE_FORMAT,
                         "%s: its directory of bound imports cannot be read", snap->module->name);
}
