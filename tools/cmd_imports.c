/* peldr imports: imports, delay imports and bound imports of a file. */
#include <inttypes.h>
#include <stdio.h>

#include "pe/imports.h"
#include "tools/cli.h"
#include "tools/doc.h"

int cmd_imports(int argc, char **argv);

/* What a walk over both directories may still list, and how it ended. */
struct listing {
    uint32_t budget;
    bool whole; /* nothing was unreadable */
};

static json_t *functions_json(const struct pe_image *image, const struct pe_import_module *module,
                              struct listing *listing)
{
    json_t *array = json_array();
    struct pe_import_iter it;
    struct pe_import import;
    int more;
    pe_imports(image, module, &it);
    while ((more = pe_import_next(&it, &import)) > 0 &&
           doc_afford(&listing->budget, import.name.len)) {
        json_t *o = json_object();
        if (import.by_ordinal) {
            doc_set(o, "ordinal", json_integer(import.ordinal));
        } else {
            doc_set(o, "name", doc_str(import.name));
            doc_set(o, "hint", json_integer(import.hint));
        }
        doc_set(o, "iat_rva", doc_hex(import.thunk_rva));
        json_array_append_new(array, o);
    }
    listing->whole = more >= 0;
    return array;
}

/* Appends the modules of one directory, up to something unreadable. */
static void append_modules(json_t *array, struct pe_import_module_iter *it, struct listing *listing)
{
    struct pe_import_module module;
    int more = 0;
    while (listing->whole && (more = pe_import_module_next(it, &module)) > 0 &&
           doc_afford(&listing->budget, module.name.len)) {
        json_t *o = json_object();
        doc_set(o, "module", doc_str(module.name));
        doc_set(o, "delay", json_boolean(module.delay));
        doc_set(o, "bound", json_boolean(module.time_date_stamp != 0));
        doc_set(o, "iat_rva", doc_hex(module.iat_rva));
        doc_set(o, "functions", functions_json(it->image, &module, listing));
        json_array_append_new(array, o);
    }
    listing->whole = listing->whole && more >= 0;
}

static json_t *bound_json(const struct pe_image *image)
{
    json_t *array = json_array();
    struct pe_bound_import_iter it;
    struct pe_bound_import bound;
    if (pe_bound_imports(image, &it))
        while (pe_bound_import_next(&it, &bound) > 0) {
            json_t *o = json_object();
            doc_set(o, "module", doc_str(bound.name));
            doc_set(o, "time_date_stamp", doc_hex(bound.time_date_stamp));
            doc_set(o, "forwarder_ref", json_boolean(bound.forwarder_ref));
            json_array_append_new(array, o);
        }
    return array;
}

static json_t *imports_json(const struct cli_file *file, void *own)
{
    json_t *doc = doc_new("imports", file->path), *modules = json_array();
    struct pe_import_module_iter it;
    struct listing listing = {DOC_LISTING, true};
    bool whole = true;
    if (pe_import_modules(&file->image, &it)) {
        append_modules(modules, &it, &listing);
        whole = listing.whole;
    }
    listing.whole = true;
    if (pe_delay_import_modules(&file->image, &it))
        append_modules(modules, &it, &listing);
    whole = whole && listing.whole;
    doc_set(doc, "modules", modules);
    doc_set(doc, "bound_modules", bound_json(&file->image));
    if (listing.budget == 0)
        doc_set(doc, "error", doc_format("%s: too many or too long imports", file->path));
    else if (!whole)
        doc_set(doc, "error",
                doc_format("%s: the import directory ends in unreadable data", file->path));
    return doc;
}

static void imports_print(json_t *doc)
{
    size_t i, k;
    const json_t *m, *f;
    json_array_foreach(json_object_get(doc, "modules"), i, m)
    {
        const json_t *functions = json_object_get(m, "functions");
        printf("%s%s%s%s%s: %zu functions\n", cli_bold(), doc_get(m, "module"), cli_plain(),
               json_is_true(json_object_get(m, "delay")) ? " (delay)" : "",
               json_is_true(json_object_get(m, "bound")) ? " (bound)" : "",
               json_array_size(functions));
        json_array_foreach(functions, k, f)
        {
            if (json_object_get(f, "name"))
                printf("  %-10s hint %5" JSON_INTEGER_FORMAT "  %s\n", doc_get(f, "iat_rva"),
                       doc_int(f, "hint"), doc_get(f, "name"));
            else
                printf("  %-10s             #%" JSON_INTEGER_FORMAT "\n", doc_get(f, "iat_rva"),
                       doc_int(f, "ordinal"));
        }
    }
    if (!json_array_size(json_object_get(doc, "modules")))
        printf("no imports\n");
}

int cmd_imports(int argc, char **argv)
{
    static const struct cli_spec spec = {
        .args_doc = "IMAGE",
        .doc = "Lists the modules and functions that an image imports, delay imports too.\v"
               "Examples:\n  peldr imports zlib1.dll\n"
               "  peldr imports --json app.exe | jq -r '.modules[].module'",
        .min_args = 1,
        .max_args = 1};
    return doc_command(argc, argv, &spec, NULL, imports_json, imports_print);
}
