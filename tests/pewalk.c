/*
 * The walk through an image (pewalk.h). Every string handed out is read to its end, so that a
 * sanitizer sees a length that lies. A budget of steps stands for the patience of a real caller:
 * iterators are bounded one by one, but a hostile import table can name the same thunks many times.
 */
#include "tests/pewalk.h"

#include <stdlib.h>

#include "pe/dirs.h"
#include "pe/exports.h"
#include "pe/imports.h"
#include "pe/relocs.h"
#include "pe/rules.h"

struct walk {
    const struct pe_image *image;
    uint64_t digest;
    uint32_t steps; /* left */
};

static void note(struct walk *w, uint64_t value)
{
    w->digest = (w->digest ^ value) * 0x100000001b3u;
}

static void note_str(struct walk *w, struct pe_str s)
{
    note(w, s.len);
    for (uint32_t i = 0; s.ptr && i < s.len && i < 4096; i++)
        note(w, (uint8_t)s.ptr[i]);
    if (s.ptr && s.len)
        note(w, (uint8_t)s.ptr[s.len - 1]);
}

static bool step(struct walk *w)
{
    return w->steps && w->steps--;
}

static void walk_rva(struct walk *w, uint32_t rva)
{
    uint64_t u64 = 0, offset = 0;
    struct pe_section s = {0};
    struct pe_span span = {0};
    struct pe_str text = {0};
    pe_rva_u64(w->image, rva, &u64);
    pe_rva_to_offset(w->image, rva, &offset);
    pe_section_of_rva(w->image, rva, &s, NULL);
    if (pe_rva_span(w->image, rva, 64, &span))
        for (uint64_t i = 0; i < span.size; i++)
            note(w, span.data[i]);
    pe_rva_str(w->image, rva, 256, &text);
    note_str(w, text);
    note(w, u64 ^ offset ^ s.virtual_address);
}

static void walk_sections(struct walk *w)
{
    struct pe_section s;
    for (uint32_t i = 0; step(w) && pe_section_at(w->image, i, &s); i++) {
        note(w, s.mapped_size ^ s.file_offset ^ s.file_size);
        walk_rva(w, s.virtual_address);
        walk_rva(w, s.virtual_address + s.file_size - 4);
        walk_rva(w, s.virtual_address + s.mapped_size - 1);
    }
    note(w, pe_overlay_offset(w->image));
    walk_rva(w, 0);
    walk_rva(w, w->image->h.size_of_headers);
    walk_rva(w, w->image->h.size_of_image - 1);
    walk_rva(w, UINT32_MAX);
}

static void walk_rules(struct walk *w)
{
    const struct pe_rule_query all = {0xff, 0xff};
    struct pe_image image = *w->image;
    for (unsigned windows = PE_WINDOWS_XP; windows <= PE_WINDOWS_10; windows *= 2) {
        struct pe_error err = {0};
        image.windows = (enum pe_windows)windows;
        note(w, pe_rules_check(&image, all, &err));
        pe_error_prefix(&err, "walk: ");
    }
    note(w, pe_checksum(w->image));
}

static void walk_export(struct walk *w, const struct pe_exports *exports, struct pe_export *e)
{
    struct pe_export again;
    struct pe_str module, name;
    uint16_t ordinal = 0;
    note_str(w, e->name);
    note_str(w, e->forwarder);
    note(w, e->rva);
    if (e->forwarder.ptr && pe_forwarder_split(e->forwarder, &module, &name, &ordinal)) {
        note_str(w, module);
        note_str(w, name);
        note(w, ordinal);
    }
    if (e->name.ptr && pe_export_by_name(exports, e->name, e->hint, &again) &&
        again.rva != e->rva && again.hint == e->hint)
        abort(); /* the hinted name is the name itself */
    if (e->name.ptr)
        note(w, pe_export_by_name(exports, e->name, UINT32_MAX, &again));
}

static void walk_exports(struct walk *w)
{
    struct pe_exports exports;
    struct pe_export e;
    if (!pe_exports_open(w->image, &exports))
        return;
    note_str(w, exports.module_name);
    struct pe_export_iter it = {.exports = &exports};
    while (step(w) && pe_export_next(&it, &e))
        walk_export(w, &exports, &e);
    for (uint32_t i = 0; i < 16; i++) {
        note(w, pe_export_by_ordinal(&exports, i + exports.ordinal_base, &e));
        note(w, pe_export_by_name_index(&exports, i, &e));
    }
}

static void walk_import_modules(struct walk *w, struct pe_import_module_iter *modules)
{
    struct pe_import_module m;
    struct pe_import i;
    while (step(w) && pe_import_module_next(modules, &m) > 0) {
        struct pe_import_iter imports;
        note_str(w, m.name);
        pe_imports(w->image, &m, &imports);
        while (step(w) && pe_import_next(&imports, &i) > 0) {
            note_str(w, i.name);
            note(w, i.thunk_rva ^ i.ordinal);
        }
    }
    note(w, modules->status);
}

static void walk_imports(struct walk *w)
{
    struct pe_import_module_iter modules;
    struct pe_bound_import_iter bound;
    struct pe_bound_import b;
    if (pe_import_modules(w->image, &modules))
        walk_import_modules(w, &modules);
    if (pe_delay_import_modules(w->image, &modules))
        walk_import_modules(w, &modules);
    if (pe_bound_imports(w->image, &bound))
        while (step(w) && pe_bound_import_next(&bound, &b) > 0)
            note_str(w, b.name);
}

static void walk_fixups(struct walk *w)
{
    struct pe_fixup_iter it;
    struct pe_fixup f;
    if (!pe_fixups(w->image, &it))
        return;
    while (step(w) && pe_fixup_next(&it, &f) > 0)
        note(w, f.rva ^ (uint64_t)f.type << 32 ^ f.parameter);
    note(w, it.status);
}

static void walk_tls(struct walk *w)
{
    struct pe_tls tls;
    uint64_t va;
    if (!pe_tls_get(w->image, &tls))
        return;
    note(w, tls.start_address_of_raw_data ^ tls.alignment);
    for (uint32_t i = 0; step(w) && pe_tls_callback(w->image, &tls, i, &va) > 0; i++)
        note(w, va);
}

static void walk_tables(struct walk *w)
{
    struct pe_load_config config;
    struct pe_runtime_function f;
    struct pe_debug_entry d;
    if (pe_load_config_get(w->image, &config))
        note(w, config.security_cookie ^ config.guard_flags);
    for (uint32_t i = 0; step(w) && pe_runtime_function_at(w->image, i, &f); i++)
        note(w, f.begin ^ f.end ^ f.unwind_info);
    for (uint32_t i = 0; step(w) && pe_debug_at(w->image, i, &d); i++) {
        note_str(w, d.pdb_path);
        note_str(w, (struct pe_str){pe_debug_type_name(d.type), 1});
    }
}

static void walk_resources(struct walk *w, const struct pe_resource_dir *dir, uint32_t depth)
{
    static const uint16_t name[] = {'t', 'e', 'x', 't'};
    struct pe_resource_entry e;
    struct pe_resource_dir sub;
    struct pe_resource_data data;
    for (uint32_t i = 0; step(w) && pe_resource_entry_at(dir, i, &e); i++) {
        note(w, e.id ^ e.name_len);
        if (depth < PE_RESOURCE_MAX_DEPTH && pe_resource_enter(dir, &e, &sub))
            walk_resources(w, &sub, depth + 1);
        if (pe_resource_data_of(dir, &e, &data))
            walk_rva(w, data.rva);
    }
    if (depth == 0) {
        note(w, pe_resource_find(dir, name, 4, 0, &e));
        note(w, pe_resource_find(dir, NULL, 0, 1, &e));
    }
}

uint64_t pewalk(struct pe_span bytes, enum pe_layout layout)
{
    struct pe_image image;
    struct pe_error err = {0};
    struct pe_resource_dir root;
    if (!nt_ok(pe_open(bytes, layout, &image, &err)))
        return 0;
    struct walk w = {.image = &image, .digest = 0xcbf29ce484222325u, .steps = 8000};
    walk_sections(&w);
    if (layout == PE_LAYOUT_FILE)
        walk_rules(&w);
    walk_exports(&w);
    walk_imports(&w);
    walk_fixups(&w);
    walk_tls(&w);
    walk_tables(&w);
    if (pe_resource_root(&image, &root))
        walk_resources(&w, &root, 0);
    return w.digest | 1;
}
