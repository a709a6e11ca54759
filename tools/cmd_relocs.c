/* peldr relocs: the plan of a relocation, by type and page, and the instructions it would change.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "reloc/audit.h"
#include "tools/cli.h"
#include "tools/doc.h"
#include "tools/flags.h"

int cmd_relocs(int argc, char **argv);

struct relocs_options {
    uint64_t base; /* 0 = the preferred base + 64 KiB */
    bool code;
};

static const struct argp_option options[] = {
    {"base", 'b', "ADDR", 0, "Plan for ADDR (the preferred base + 0x10000)", 0},
    {"code", 'c', NULL, 0,
     "Show, for each fixup in code, its instruction before and after relocation", 0},
    {0}};

static error_t parse_option(int key, char *arg, struct argp_state *state, void *own)
{
    struct relocs_options *o = own;
    if (key == 'b')
        o->base = cli_number(state, arg);
    else if (key == 'c')
        o->code = true;
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const char *outcome_name(enum reloc_outcome outcome)
{
    static const char *const names[] = {"not_needed", "applied", "refused"};
    return names[outcome];
}

static json_t *pages_json(const uint32_t *counts, uint32_t pages)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < pages; i++)
        if (counts[i]) {
            json_t *o = json_object();
            doc_set(o, "rva", doc_hex((uint64_t)i * PE_PAGE_SIZE));
            doc_set(o, "fixups", json_integer(counts[i]));
            json_array_append_new(array, o);
        }
    return array;
}

static json_t *code_json(const struct pe_image *image, int64_t delta)
{
    json_t *array = json_array();
    struct pe_fixup_iter it;
    struct pe_fixup fixup;
    struct reloc_auditor auditor;
    struct reloc_audit audit;
    reloc_auditor_init(&auditor, image);
    if (!pe_fixups(image, &it))
        return array;
    while (pe_fixup_next(&it, &fixup) > 0)
        if (reloc_auditor_find(&auditor, &fixup, delta, &audit)) {
            json_t *o = json_object();
            doc_set(o, "rva", doc_hex(audit.fixup_rva));
            doc_set(o, "type", json_string(reloc_type_name(image->h.machine, fixup.type)));
            doc_set(o, "instruction_rva", doc_hex(audit.insn_rva));
            doc_set(o, "before", doc_text(audit.before));
            doc_set(o, "after", doc_text(audit.after));
            json_array_append_new(array, o);
        }
    return array;
}

static json_t *relocs_json(const struct cli_file *file, void *own)
{
    const struct relocs_options *o = own;
    const struct pe_image *image = &file->image;
    uint64_t base = o->base ? o->base : image->h.image_base + PE_GRANULARITY;
    uint32_t pages = pe_mapped_size(image) / PE_PAGE_SIZE;
    uint32_t *counts = calloc(pages ? pages : 1, sizeof *counts);
    json_t *doc = doc_new("relocs", file->path);
    struct reloc_plan plan;
    struct pe_error err = {0};

    if (!counts)
        exit(cli_fail("not enough memory"));
    reloc_plan(image, base, counts, pages, &plan, &err);
    doc_set(doc, "machine", json_string(pe_machine_name(image->h.machine)));
    doc_set(doc, "preferred_base", doc_hex(image->h.image_base));
    doc_set(doc, "planned_base", doc_hex(base));
    doc_set(doc, "outcome", json_string(outcome_name(plan.outcome)));
    doc_set(doc, "reason", doc_text(plan.reason));
    doc_set(doc, "fixups", fixups_json(plan.fixups, image->h.machine));
    doc_set(doc, "fixups_total", json_integer(plan.fixups_total));
    doc_set(doc, "pages_dirtied", json_integer(plan.pages_dirtied));
    doc_set(doc, "pages", pages_json(counts, pages));
    if (o->code)
        doc_set(doc, "code", code_json(image, plan.delta));
    if (plan.outcome == RELOC_REFUSED)
        doc_set(doc, "error",
                doc_format("%s: %s: %s", file->path, nt_status_name(plan.status), err.text));
    free(counts);
    return doc;
}

static void relocs_print(json_t *doc)
{
    size_t i;
    const char *key;
    json_t *n;
    const json_t *p;
    printf("%s%s%s: from %s to %s: %s (%s)\n", cli_bold(), doc_get(doc, "file"), cli_plain(),
           doc_get(doc, "preferred_base"), doc_get(doc, "planned_base"), doc_get(doc, "outcome"),
           doc_get(doc, "reason"));
    json_object_foreach(json_object_get(doc, "fixups"), key, n)
        printf("  %-12s %" JSON_INTEGER_FORMAT "\n", key, json_integer_value(n));
    printf("%" JSON_INTEGER_FORMAT " fixups on %" JSON_INTEGER_FORMAT " pages\n",
           doc_int(doc, "fixups_total"), doc_int(doc, "pages_dirtied"));
    json_array_foreach(json_object_get(doc, "pages"), i, p) printf(
        "  page %-10s %5" JSON_INTEGER_FORMAT " fixups\n", doc_get(p, "rva"), doc_int(p, "fixups"));
    json_array_foreach(json_object_get(doc, "code"), i, p)
        printf("  %-10s %-8s %s  ->  %s\n", doc_get(p, "instruction_rva"), doc_get(p, "type"),
               doc_get(p, "before"), doc_get(p, "after"));
}

int cmd_relocs(int argc, char **argv)
{
    static const struct cli_spec spec = {
        .args_doc = "IMAGE",
        .doc = "Plans moving an image, without mapping it: what would be fixed up, on which pages, "
               "and whether it can be done.\v"
               "Examples:\n  peldr relocs zlib1.dll\n"
               "  peldr relocs --base 0x20000000 --code zlib1.dll",
        .options = options,
        .option = parse_option,
        .min_args = 1,
        .max_args = 1};
    struct relocs_options o = {0};
    return doc_command(argc, argv, &spec, &o, relocs_json, relocs_print);
}
