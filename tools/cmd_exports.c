/* peldr exports: names, ordinals, forwarders and holes of a file's export directory. */
#include <inttypes.h>
#include <stdio.h>

#include "pe/exports.h"
#include "tools/cli.h"
#include "tools/doc.h"

int cmd_exports(int argc, char **argv);

static json_t *export_json(const struct pe_export *export)
{
    json_t *o = json_object();
    doc_set(o, "ordinal", json_integer(export->ordinal));
    doc_set(o, "name", export->name.ptr ? doc_str(export->name) : json_null());
    if (export->forwarder.ptr)
        doc_set(o, "forwarder", doc_str(export->forwarder));
    else
        doc_set(o, "rva", doc_hex(export->rva));
    return o;
}

static json_t *exports_json(const struct cli_file *file, void *own)
{
    json_t *doc = doc_new("exports", file->path), *array = json_array();
    struct pe_exports exports;
    struct pe_export export;
    uint32_t used = 0, last = UINT32_MAX, budget = DOC_LISTING;
    if (pe_exports_open(&file->image, &exports)) {
        struct pe_export_iter it = {.exports = &exports};
        while (pe_export_next(&it, &export)) {
            if (!doc_afford(&budget, (uint64_t) export.name.len + export.forwarder.len)) {
                doc_set(doc, "error", doc_format("%s: too many or too long exports", file->path));
                break;
            }
            used += export.index != last;
            last = export.index;
            json_array_append_new(array, export_json(&export));
        }
        doc_set(doc, "name", doc_str(exports.module_name));
        doc_set(doc, "ordinal_base", json_integer(exports.ordinal_base));
        doc_set(doc, "holes", json_integer((json_int_t)exports.function_count - used));
    }
    doc_set(doc, "exports", array);
    return doc;
}

static void exports_print(json_t *doc)
{
    size_t i;
    const json_t *e;
    printf("%s%s%s: %zu exports, %" JSON_INTEGER_FORMAT " holes\n", cli_bold(),
           doc_get(doc, "name"), cli_plain(), json_array_size(json_object_get(doc, "exports")),
           doc_int(doc, "holes"));
    json_array_foreach(json_object_get(doc, "exports"), i, e)
    {
        const char *forwarder = doc_get(e, "forwarder");
        const char *name = json_string_value(json_object_get(e, "name"));
        printf("  %5" JSON_INTEGER_FORMAT "  %-10s %s%s%s\n", doc_int(e, "ordinal"),
               doc_get(e, "rva"), name ? name : "(by ordinal)", *forwarder ? " -> " : "",
               forwarder);
    }
}

int cmd_exports(int argc, char **argv)
{
    static const struct cli_spec spec = {
        .args_doc = "IMAGE",
        .doc = "Lists what an image exports: ordinal, RVA, name, forwarder.\v"
               "Examples:\n  peldr exports zlib1.dll\n"
               "  peldr exports --json zlib1.dll | jq -r '.exports[].name'",
        .min_args = 1,
        .max_args = 1};
    return doc_command(argc, argv, &spec, NULL, exports_json, exports_print);
}
