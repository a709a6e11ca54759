/* peldr map: maps an image and shows what became of it: base, relocation, regions, protections. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/peldr.h"
#include "pe/image.h"
#include "tools/cli.h"
#include "tools/doc.h"
#include "tools/flags.h"

int cmd_map(int argc, char **argv);

struct map_options {
    uint64_t base;
    uint64_t occupy, occupy_size;
    bool occupied, run_init;
};

enum { KEY_BASE = 0x200, KEY_OCCUPY, KEY_RUN_INIT };

static const struct argp_option options[] = {
    {"base", KEY_BASE, "ADDR", 0, "Map at ADDR instead of the preferred base", 0},
    {"occupy", KEY_OCCUPY, "ADDR[,SIZE]", 0,
     "Occupy SIZE bytes (65536) at ADDR first, to see the image move", 0},
    {"run-init", KEY_RUN_INIT, NULL, 0,
     "Load it as a program would: imports, TLS callbacks, DllMain (runs its code)", 0},
    {0}};

static error_t parse_option(int key, char *arg, struct argp_state *state, void *own)
{
    struct map_options *o = own;
    char *comma;
    switch (key) {
    case KEY_BASE:
        o->base = cli_number(state, arg);
        if (!o->base || o->base % PE_GRANULARITY)
            argp_error(state, "--base must be a multiple of 0x10000, not %s", arg);
        return 0;
    case KEY_OCCUPY:
        comma = strchr(arg, ',');
        o->occupy_size = comma ? cli_number(state, comma + 1) : PE_GRANULARITY;
        if (comma)
            *comma = '\0';
        o->occupy = cli_number(state, arg);
        o->occupied = true;
        return 0;
    case KEY_RUN_INIT:
        o->run_init = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static json_t *relocation_json(peldr_module *module, uint16_t machine)
{
    struct peldr_relocation r;
    json_t *o = json_object();
    if (peldr_relocation(module, &r) != 0)
        return o;
    doc_set(o, "outcome", json_string(r.outcome));
    doc_set(o, "source", *r.source ? json_string(r.source) : json_null());
    doc_set(o, "reason", doc_text(r.reason));
    doc_set(o, "fixups", fixups_json(r.fixups, machine));
    doc_set(o, "fixups_total", json_integer(r.fixups_total));
    doc_set(o, "pages_dirtied", json_integer(r.pages_dirtied));
    return o;
}

static json_t *regions_json(peldr_module *module)
{
    json_t *array = json_array();
    struct peldr_region r;
    uint32_t cursor = 0;
    while (peldr_next_region(module, &cursor, &r) > 0) {
        json_t *o = json_object();
        doc_set(o, "rva", doc_hex(r.rva));
        doc_set(o, "address", doc_hex(r.address));
        doc_set(o, "size", doc_hex(r.size));
        doc_set(o, "name", doc_text(r.section));
        doc_set(o, "protect", json_string(peldr_protect_name(r.protect)));
        doc_set(o, "initial_protect", json_string(peldr_protect_name(r.initial_protect)));
        doc_set(o, "backing", json_string(r.backing));
        doc_set(o, "pages_private", json_integer((json_int_t)r.pages_private));
        json_array_append_new(array, o);
    }
    return array;
}

static json_t *mapped_json(const char *path, peldr_module *module)
{
    json_t *doc = doc_new("map", path);
    struct peldr_module_info info;
    if (peldr_module_info(module, &info) != 0) {
        doc_set(doc, "error", doc_text(peldr_error()));
        return doc;
    }
    doc_set(doc, "machine", json_string(pe_machine_name(info.machine)));
    doc_set(doc, "preferred_base", doc_hex(info.preferred_base));
    doc_set(doc, "actual_base", doc_hex(info.base));
    doc_set(doc, "relocation", relocation_json(module, info.machine));
    doc_set(doc, "regions", regions_json(module));
    return doc;
}

/* The image was refused: the same keys, as far as they have an answer. */
static json_t *refused_json(const char *path)
{
    json_t *doc = doc_new("map", path), *relocation;
    bool conflict = peldr_error_status() == (uint32_t)STATUS_CONFLICTING_ADDRESSES;
    doc_set(doc, "error", doc_text(peldr_error()));
    doc_set(doc, "status", json_string(peldr_status_name(peldr_error_status())));
    doc_set(doc, "rule", doc_text(peldr_error_rule()));
    if (conflict) {
        relocation = json_object();
        doc_set(relocation, "outcome", json_string("refused"));
        doc_set(relocation, "reason", doc_text(peldr_error()));
        doc_set(doc, "relocation", relocation);
    }
    return doc;
}

static json_t *map_json(const char *path, const struct map_options *o)
{
    uint32_t flags = o->run_init ? 0 : PELDR_MAP_ONLY;
    peldr_module *module;
    json_t *doc;
    if (o->occupied && peldr_reserve(o->occupy, o->occupy_size) != 0) {
        doc = doc_new("map", path);
        doc_set(
            doc, "error",
            doc_format("--occupy: 0x%" PRIx64 " is taken already (%s)", o->occupy, peldr_error()));
        return doc;
    }
    module = o->base ? peldr_open_at(path, flags, o->base) : peldr_open(path, flags);
    if (!module)
        return refused_json(path);
    doc = mapped_json(path, module);
    peldr_close(module);
    return doc;
}

static void print_relocation(const json_t *r)
{
    const char *key;
    json_t *n;
    const char *separator = "";
    const json_t *source = json_object_get(r, "source");
    bool cached = json_is_string(source) && strcmp(json_string_value(source), "cached") == 0;
    printf("relocation      %s%s: %s\n", doc_get(r, "outcome"), cached ? " (cached)" : "",
           doc_get(r, "reason"));
    if (strcmp(doc_get(r, "outcome"), "applied") != 0)
        return;
    printf("fixups          %" JSON_INTEGER_FORMAT " (", doc_int(r, "fixups_total"));
    json_object_foreach(json_object_get(r, "fixups"), key, n)
    {
        if (strcmp(key, "ABSOLUTE") == 0) /* padding */
            continue;
        printf("%s%" JSON_INTEGER_FORMAT " %s", separator, json_integer_value(n), key);
        separator = ", ";
    }
    printf(") on %" JSON_INTEGER_FORMAT " pages\n", doc_int(r, "pages_dirtied"));
}

static void map_print(json_t *doc)
{
    size_t i;
    const json_t *r;
    if (json_object_get(doc, "error"))
        return;
    printf("%s%s%s (%s)\n", cli_bold(), doc_get(doc, "file"), cli_plain(), doc_get(doc, "machine"));
    printf("preferred base  %s\nactual base     %s\n", doc_get(doc, "preferred_base"),
           doc_get(doc, "actual_base"));
    print_relocation(json_object_get(doc, "relocation"));
    printf("\n%-18s %-9s %-9s %-9s %-23s %-14s %s\n", "address", "rva", "size", "name", "protect",
           "backing", "private pages");
    json_array_foreach(json_object_get(doc, "regions"), i, r)
        printf("%-18s %-9s %-9s %-9s %-23s %-14s %" JSON_INTEGER_FORMAT "\n", doc_get(r, "address"),
               doc_get(r, "rva"), doc_get(r, "size"), doc_get(r, "name"), doc_get(r, "protect"),
               doc_get(r, "backing"), doc_int(r, "pages_private"));
}

int cmd_map(int argc, char **argv)
{
    static const struct cli_spec spec = {
        .args_doc = "IMAGE",
        .doc = "Maps an image as Windows does and shows its regions, protections, sharing and the "
               "relocation outcome. Nothing of the image is executed unless --run-init is given.\v"
               "Examples:\n  peldr map zlib1.dll\n"
               "  peldr map --occupy 0x180000000,0x10000 my.dll     # make it move\n"
               "  peldr map --json my.dll | jq '.relocation.outcome'",
        .options = options,
        .option = parse_option,
        .min_args = 1,
        .max_args = 1};
    struct map_options o = {0};
    struct cli cli;

    cli_parse(&spec, argc, argv, &cli, &o);
    if (o.run_init)
        cli_hand_over(cli.args[0], &cli);
    return doc_show(map_json(cli.args[0], &o), cli.json, map_print);
}
