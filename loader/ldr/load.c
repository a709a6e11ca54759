/*
 * ldr_load: from a name to an initialised module (facts 3.1, 3.3, 3.4, 3.8).
 *
 * The phases of a load: find and map the module and, depth first, what it imports, filling address
 * tables on the way; seal the views; call entry points. Missing things are collected until the walk
 * is over, so that one failure tells them all.
 */
#include "loader/ldr/load.h"

#include <stdlib.h>
#include <string.h>

#include "loader/ldr/entry.h"
#include "loader/ldr/locate.h"
#include "loader/ldr/search.h"
#include "loader/ldr/system.h"
#include "loader/ldr/tls.h"

/* Dependencies of dependencies of ...: far deeper than any program, shallow enough for any stack.
 */
#define MAX_DEPTH 128u
#define SEARCH_FLAGS                                                             \
    (LDR_ALTERED_SEARCH | LDR_SEARCH_DLL_LOAD_DIR | LDR_SEARCH_APPLICATION_DIR | \
     LDR_SEARCH_USER_DIRS | LDR_SEARCH_SYSTEM32 | LDR_SEARCH_DEFAULT_DIRS | LDR_PREFER_NATIVE)

/* ---- the transaction ---- */

static bool is_staged(const struct ldr_load *load, const struct ldr_module *module)
{
    for (uint32_t i = 0; i < load->staged_count; i++) {
        if (load->staged[i] == module) {
            return true;
        }
    }
    return false;
}

/* Makes room for one more element; false when memory ran out. */
static bool grow(void *array, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity) {
        return true;
    }
    uint32_t wanted = *capacity ? *capacity * 2 : 16;
    void **pointer = array;
    void *grown = realloc(*pointer, wanted * size);
    if (!grown) {
        return false;
    }
    *pointer = grown;
    *capacity = wanted;
    return true;
}

static nt_status add_edge(struct ldr_load *load, struct ldr_module *from, struct ldr_module *to,
                          struct pe_error *err)
{
    bool added;
    if (!grow(&load->edges, load->edge_count, &load->edge_capacity, sizeof(*load->edges))) {
        return pe_fail(err, STATUS_NO_MEMORY, "%s: not enough memory", from->name);
    }
    nt_status status = ldr_module_need(from, to, &added, err);
    if (nt_ok(status) && added && !is_staged(load, from)) {
        load->edges[load->edge_count++] = (struct ldr_edge){from, to};
    }
    return status;
}

void ldr_load_end(struct ldr_load *load, bool keep)
{
    for (uint32_t i = 0; i < load->edge_count && !keep; i++) {
        ldr_module_unneed(load->edges[i].from, load->edges[i].to);
    }
    for (uint32_t i = 0; i < load->staged_count; i++) {
        load->staged[i]->pending--;
    }
    bool changed = !keep || load->staged_count > 0;
    free(load->edges);
    free(load->staged);
    if (changed) {
        ldr_collect();
    }
}

/*
 * When the TLS index is written: Windows 7 and 10 do it before a module's imports are looked at,
 * where it may cut the list of descriptors short; XP when the program and all that it needs have
 * their imports (behaviours, Imports).
 */
static bool tls_comes_last(const struct ldr_load *load, const struct ldr_module *module)
{
    return load->is_static && mm_view_image(module->view)->windows == PE_WINDOWS_XP;
}

/* The program comes first: its index is 0. */
static nt_status attach_late_tls(const struct ldr_load *load, struct pe_error *err)
{
    nt_status status = STATUS_SUCCESS;
    for (uint32_t i = 0; i < load->staged_count && nt_ok(status); i++) {
        struct ldr_module *module = load->staged[i];
        if (!module->inert && tls_comes_last(load, module)) {
            status = ldr_tls_attach(module, err);
            ldr_entry_update(module->entry, module);
        }
    }
    return status;
}

nt_status ldr_load_stage(struct ldr_load *load, struct ldr_module *module, struct pe_error *err)
{
    if (!grow(&load->staged, load->staged_count, &load->staged_capacity, sizeof(*load->staged))) {
        nt_status status = pe_fail(err, STATUS_NO_MEMORY, "%s: not enough memory", module->name);
        ldr_module_destroy(module);
        return status;
    }
    load->staged[load->staged_count++] = module;
    module->pending++;
    module->is_static = load->is_static;
    ldr_module_list(module, module->exe);
    nt_status status = STATUS_SUCCESS;
    if (module->builtin) {
        /* It stays even when the load that brought it in fails, so it is made ready at once. */
        module->pinned = true;
        ldr_builtin_bind(module->builtin, mm_view_image(module->view));
        status = mm_view_seal(module->view, err);
    } else if (!module->inert) {
        if (!tls_comes_last(load, module)) {
            status = ldr_tls_attach(module, err);
        }
        if (nt_ok(status)) {
            status = ldr_snap(load, module, err);
        }
    }
    ldr_entry_update(module->entry, module);
    return status;
}

nt_status ldr_load_seal(struct ldr_load *load, struct pe_error *err)
{
    nt_status status = STATUS_SUCCESS;
    for (uint32_t i = 0; i < load->staged_count && nt_ok(status); i++) {
        status = mm_view_seal(load->staged[i]->view, err);
    }
    return status;
}

/* ---- modules ---- */

/* A module that is on its way out, or whose entry point refused, cannot be had again. */
static nt_status check_usable(const struct ldr_module *module, struct pe_error *err)
{
    if (module->state < LDR_STATE_FAILED) {
        return STATUS_SUCCESS;
    }
    return pe_fail(err, STATUS_DLL_INIT_FAILED, "%s %s", module->name,
                   module->state == LDR_STATE_FAILED ? "could not be initialised"
                                                     : "is being unloaded");
}

/* What a module asked for by LoadLibrary gets: an EXE is mapped, but not made ready (facts 3.3). */
static void choose_role(struct ldr_module *module, uint32_t flags)
{
    bool dll = mm_view_image(module->view)->h.characteristics & IMAGE_FILE_DLL;
    module->exe = flags & LDR_EXE;
    module->inert |= (flags & LDR_DONT_RESOLVE) || (!dll && !module->exe);
}

static nt_status check_only_program(struct pe_error *err)
{
    const struct ldr_module *program = ldr_find_exe();
    return program ? pe_fail(err, STATUS_INVALID_PARAMETER, "%s is the program of this process",
                             program->name)
                   : STATUS_SUCCESS;
}

/* The directory of the program is searched for what it imports (facts 3.2). */
static void set_application_dir(const struct ldr_module *program)
{
    char *directory = ldr_directory_of(program->path);
    ldr_search_set_application_dir(directory);
    free(directory);
}

/* Maps what was located and stages it, as the module asked for (importer NULL) or as a dependency.
 */
static nt_status bring_in(struct ldr_load *load, struct ldr_located *located,
                          const struct ldr_load_options *options, const struct ldr_module *importer,
                          struct ldr_module **out, struct pe_error *err)
{
    uint32_t map_flags = importer                   ? LDR_MAP_DATA_OF_ANY_MACHINE
                         : options->flags & LDR_EXE ? LDR_MAP_PROGRAM
                                                    : 0;
    struct ldr_module *module = NULL;
    nt_status status =
        ldr_map_image(&located->source, LDR_KIND_IMAGE, map_flags, options->base, &module, err);
    if (!nt_ok(status)) {
        return status;
    }
    if (!importer) {
        choose_role(module, options->flags);
        status = module->exe ? check_only_program(err) : STATUS_SUCCESS;
    }
    if (!nt_ok(status)) {
        ldr_module_destroy(module);
        return status;
    }
    if (module->exe) {
        set_application_dir(module);
    }
    *out = module;
    return ldr_load_stage(load, module, err);
}

static nt_status find_or_load(struct ldr_load *load, const struct ldr_load_options *options,
                              const struct ldr_module *importer, struct ldr_module **out,
                              struct pe_error *err)
{
    struct ldr_located located;
    nt_status status =
        ldr_locate(options, load->directory, importer ? LDR_HOST_MACHINE : 0, &located, err);
    if (!nt_ok(status)) {
        return status;
    }
    if (!importer) {
        load->directory = located.directory;
    }
    *out = located.loaded;
    if (!located.loaded) {
        status = bring_in(load, &located, options, importer, out, err);
    }
    if (!importer) {
        load->directory = NULL;
    }
    ldr_located_free(&located);
    return nt_ok(status) ? check_usable(*out, err) : status;
}

nt_status ldr_load_dependency(struct ldr_load *load, struct ldr_module *importer, const char *name,
                              struct ldr_module **out, struct pe_error *err)
{
    struct ldr_load_options options = {.name = name, .flags = load->flags & SEARCH_FLAGS};
    struct ldr_module *found = NULL;
    if (load->depth == MAX_DEPTH) {
        return pe_fail(err, STATUS_INSUFFICIENT_RESOURCES,
                       "%s: more than %u modules in a chain of imports", name, MAX_DEPTH);
    }
    load->depth++;
    nt_status status = find_or_load(load, &options, importer, &found, err);
    load->depth--;
    if (nt_ok(status)) {
        status = add_edge(load, importer, found, err);
    }
    if (nt_ok(status)) {
        *out = found;
    }
    return status;
}

/* ---- the public function ---- */

static void pin_reachable(struct ldr_module *module)
{
    if (!module->pinned) {
        module->pinned = true;
        ldr_entry_update(module->entry, module);
        for (uint32_t i = 0; i < module->need_count; i++) {
            pin_reachable(module->needs[i]);
        }
    }
}

/* Loads into the module list. A program's modules are initialised when it is run (ldr_start). */
static nt_status load_listed(const struct ldr_load_options *options, struct ldr_module **out,
                             struct pe_error *err)
{
    struct ldr_load load = {.flags = options->flags, .is_static = options->flags & LDR_EXE};
    struct ldr_module *module = NULL;
    nt_status status = ldr_system_modules(err);
    if (nt_ok(status)) {
        status = find_or_load(&load, options, NULL, &module, err);
    }
    if (nt_ok(status)) {
        status = ldr_report_finish(&load.report, module->name, err);
    }
    if (nt_ok(status)) {
        status = attach_late_tls(&load, err);
    }
    if (nt_ok(status)) {
        status = ldr_load_seal(&load, err);
    }
    if (nt_ok(status) && module->exe) {
        pin_reachable(module);
    } else if (nt_ok(status)) {
        status = ldr_initialize(module, err);
    }
    if (nt_ok(status)) {
        module->references++;
        ldr_entry_update(module->entry, module);
        *out = module;
    } else if (load.staged_count && load.staged[0]->exe) {
        ldr_search_set_application_dir(NULL);
    }
    ldr_load_end(&load, nt_ok(status));
    return status;
}

/* Maps for the caller alone: nothing runs and nobody else finds it. */
static nt_status load_unlisted(const struct ldr_load_options *options, struct ldr_module **out,
                               struct pe_error *err)
{
    struct ldr_located located;
    struct ldr_module *module = NULL;
    nt_status status = ldr_locate(options, NULL, 0, &located, err);
    if (!nt_ok(status)) {
        return status;
    }
    bool map_only = options->flags & LDR_MAP_ONLY;
    if (located.loaded && !map_only) {
        module = located.loaded;
    } else if (map_only || (options->flags & LDR_AS_IMAGE_RESOURCE)) {
        status = ldr_map_image(&located.source, LDR_KIND_PRIVATE,
                               LDR_MAP_ANY_MACHINE | (map_only ? 0 : LDR_MAP_UNRELOCATED),
                               options->base, &module, err);
        if (nt_ok(status) && !nt_ok(status = mm_view_seal(module->view, err))) {
            ldr_module_destroy(module);
        }
    } else {
        bool exclusive = options->flags & LDR_AS_DATAFILE_EXCLUSIVE;
        status = ldr_map_data(&located.source, exclusive, &module, err);
    }
    if (nt_ok(status)) {
        if (ldr_link_alone(&module->order)) {
            ldr_module_list(module, false);
        }
        module->references++;
        *out = module;
    }
    ldr_located_free(&located);
    return status;
}

nt_status ldr_load(const struct ldr_load_options *options, struct ldr_module **out,
                   struct pe_error *err)
{
    const uint32_t unlisted =
        LDR_AS_DATAFILE | LDR_AS_DATAFILE_EXCLUSIVE | LDR_AS_IMAGE_RESOURCE | LDR_MAP_ONLY;
    ldr_lock();
    nt_status status = options->flags & unlisted ? load_unlisted(options, out, err)
                                                 : load_listed(options, out, err);
    ldr_unlock();
    return status;
}

static nt_status check_startable(const struct ldr_module *program, struct pe_error *err)
{
    if (!ldr_module_valid(program) || !program->exe) {
        return pe_fail(err, STATUS_INVALID_HANDLE, "%p is not the program of this process",
                       (const void *)program);
    }
    return program->state == LDR_STATE_LOADED
               ? STATUS_SUCCESS
               : pe_fail(err, STATUS_INVALID_PARAMETER, "%s has been started already",
                         program->name);
}

nt_status ldr_start(struct ldr_module *program, struct pe_error *err)
{
    ldr_lock();
    nt_status status = check_startable(program, err);
    if (nt_ok(status)) {
        status = ldr_initialize(program, err);
    }
    ldr_unlock();
    return status;
}
