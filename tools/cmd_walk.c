/* peldr walk: every region of a process in which peldr runs, and sums by type. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/peldr.h"
#include "tools/cli.h"
#include "tools/doc.h"
#include "tools/table.h"

int cmd_walk(int argc, char **argv);

/* MEMORY_BASIC_INFORMATION, winnt.h */
enum { STATE_COMMIT = 0x1000, STATE_RESERVE = 0x2000, STATE_FREE = 0x10000 };
enum { TYPE_PRIVATE = 0x20000, TYPE_MAPPED = 0x40000, TYPE_IMAGE = 0x1000000 };

/* What the summary distinguishes: reserved memory of any type counts as reserved. */
static const char *const kinds[] = {"free", "reserved", "private", "mapped", "image"};
enum { KIND_COUNT = sizeof kinds / sizeof *kinds };

struct sum {
    uint64_t regions, size, committed, private, shared, largest;
};

struct gathered {
    json_t *regions;
    struct sum sums[KIND_COUNT];
    bool counted;
};

static int kind_of(const struct peldr_walked_region *r)
{
    if (r->state != STATE_COMMIT)
        return r->state == STATE_FREE ? 0 : 1;
    return r->type == TYPE_PRIVATE ? 2 : r->type == TYPE_MAPPED ? 3 : 4;
}

static json_t *state_json(uint32_t state)
{
    return state == STATE_COMMIT    ? json_string("commit")
           : state == STATE_RESERVE ? json_string("reserve")
           : state == STATE_FREE    ? json_string("free")
                                    : doc_hex(state);
}

static json_t *type_json(uint32_t type)
{
    return type == 0              ? json_null()
           : type == TYPE_PRIVATE ? json_string("private")
           : type == TYPE_MAPPED  ? json_string("mapped")
           : type == TYPE_IMAGE   ? json_string("image")
                                  : doc_hex(type);
}

static json_t *kib(uint64_t bytes)
{
    return json_integer((json_int_t)(bytes / 1024));
}

static json_t *protect_json(uint32_t protect)
{
    return protect ? json_string(peldr_protect_name(protect)) : json_null();
}

static void add_sum(struct sum *sum, const struct peldr_walked_region *r)
{
    sum->regions++;
    sum->size += r->size;
    sum->committed += r->committed;
    sum->private += r->private_bytes;
    sum->shared += r->shared_bytes;
    if (r->size > sum->largest)
        sum->largest = r->size;
}

static int add_region(void *user, const struct peldr_walked_region *r)
{
    struct gathered *gathered = user;
    bool counted = r->counted && r->state == STATE_COMMIT;
    json_t *o = json_object();
    doc_set(o, "address", doc_hex(r->address));
    doc_set(o, "size", doc_hex(r->size));
    doc_set(o, "state", state_json(r->state));
    doc_set(o, "type", type_json(r->type));
    doc_set(o, "protect", protect_json(r->state == STATE_COMMIT ? r->protect : 0));
    doc_set(o, "allocation_base",
            r->state == STATE_FREE ? json_null() : doc_hex(r->allocation_base));
    doc_set(o, "allocation_protect", protect_json(r->allocation_protect));
    doc_set(o, "name", *r->name ? doc_text(r->name) : json_null());
    doc_set(o, "committed_kib", kib(r->committed));
    doc_set(o, "resident_kib", counted ? kib(r->resident_bytes) : json_null());
    doc_set(o, "private_kib", counted ? kib(r->private_bytes) : json_null());
    doc_set(o, "shared_kib", counted ? kib(r->shared_bytes) : json_null());
    json_array_append_new(gathered->regions, o);
    gathered->counted = gathered->counted && r->counted;
    add_sum(&gathered->sums[kind_of(r)], r);
    return 0;
}

static int add_module(void *user, const struct peldr_walked_module *module)
{
    json_t *o = json_object();
    doc_set(o, "base", doc_hex(module->base));
    doc_set(o, "size", doc_hex(module->size));
    doc_set(o, "name", doc_text(module->name));
    doc_set(o, "path", *module->path ? doc_text(module->path) : json_null());
    doc_set(o, "builtin", json_boolean(module->builtin));
    doc_set(o, "relocation", *module->relocation ? json_string(module->relocation) : json_null());
    json_array_append_new(user, o);
    return 0;
}

static json_t *summary_json(const struct gathered *gathered)
{
    json_t *summary = json_object();
    for (int i = 0; i < KIND_COUNT; i++) {
        const struct sum *sum = &gathered->sums[i];
        json_t *o = json_object();
        doc_set(o, "regions", json_integer((json_int_t)sum->regions));
        doc_set(o, "size_kib", kib(sum->size));
        doc_set(o, "largest_kib", kib(sum->largest));
        doc_set(o, "committed_kib", kib(sum->committed));
        doc_set(o, "private_kib", gathered->counted ? kib(sum->private) : json_null());
        doc_set(o, "shared_kib", gathered->counted ? kib(sum->shared) : json_null());
        doc_set(summary, kinds[i], o);
    }
    return summary;
}

/* What runs there, as /proc says; null when it cannot be seen. */
static json_t *program_json(uint32_t id)
{
    char path[32], target[4096];
    snprintf(path, sizeof path, "/proc/%" PRIu32 "/exe", id);
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 0)
        return json_null();
    target[length] = '\0';
    return doc_text(target);
}

static json_t *walk_json(uint32_t id)
{
    struct gathered gathered = {.regions = json_array(), .counted = true};
    json_t *doc = doc_new("walk", NULL), *modules = json_array();
    doc_set(doc, "process", json_integer(id));
    if (peldr_walk(id, add_region, &gathered) != 0) {
        doc_set(doc, "error", doc_text(peldr_error()));
        doc_set(doc, "status", json_string(peldr_status_name(peldr_error_status())));
        json_decref(gathered.regions);
        json_decref(modules);
        return doc;
    }
    doc_set(doc, "program", program_json(id));
    if (peldr_walk_modules(id, add_module, modules) != 0) { /* its loader is busy */
        json_decref(modules);
        modules = json_null();
    }
    doc_set(doc, "modules", modules);
    doc_set(doc, "regions", gathered.regions);
    doc_set(doc, "summary", summary_json(&gathered));
    return doc;
}

/* ---- as a table ---- */

/* A count of KiB, "" when there is nothing, "?" when the kernel does not tell. */
static const char *count_cell(const json_t *region, const char *key, char out[TABLE_SIZE])
{
    const json_t *value = json_object_get(region, key);
    if (!json_is_integer(value))
        return "?";
    return json_integer_value(value) ? table_size((uint64_t)json_integer_value(value) * 1024, out)
                                     : "";
}

static void print_region(const json_t *r)
{
    char size[TABLE_SIZE], private[TABLE_SIZE] = "", shared[TABLE_SIZE] = "", protect[48];
    char name[TABLE_NAME];
    bool commit = strcmp(doc_get(r, "state"), "commit") == 0;
    bool free = strcmp(doc_get(r, "state"), "free") == 0;
    printf("%s%-15s %7s  %s", free ? cli_dim() : "", doc_get(r, "address"),
           table_size(table_hex(r, "size"), size), doc_get(r, "state"));
    if (commit)
        printf("   %-7s  %-17s %7s %7s  %s", doc_get(r, "type"),
               table_protect(doc_get(r, "protect"), protect), count_cell(r, "private_kib", private),
               count_cell(r, "shared_kib", shared), table_name(doc_get(r, "name"), name));
    else if (!free)
        printf("  %s", doc_get(r, "type"));
    printf("%s\n", free ? cli_plain() : "");
}

static void print_summary(const json_t *summary)
{
    char cells[5][TABLE_SIZE];
    printf("\n%s%-9s %7s %8s %8s %9s %8s %8s%s\n", cli_bold(), "summary", "regions", "size",
           "largest", "committed", "private", "shared", cli_plain());
    for (int i = 0; i < KIND_COUNT; i++) {
        const json_t *o = json_object_get(summary, kinds[i]);
        printf("%-9s %7" JSON_INTEGER_FORMAT " %8s %8s %9s %8s %8s\n", kinds[i],
               doc_int(o, "regions"), table_size((uint64_t)doc_int(o, "size_kib") * 1024, cells[0]),
               table_size((uint64_t)doc_int(o, "largest_kib") * 1024, cells[1]),
               count_cell(o, "committed_kib", cells[2]), count_cell(o, "private_kib", cells[3]),
               count_cell(o, "shared_kib", cells[4]));
    }
}

static void walk_print(json_t *doc)
{
    const json_t *r;
    size_t i;
    if (json_object_get(doc, "error"))
        return;
    printf("process %" JSON_INTEGER_FORMAT "  %s\n\n", doc_int(doc, "process"),
           doc_get(doc, "program"));
    printf("%s%-15s %7s  %-7s  %-7s  %-17s %7s %7s  %s%s\n", cli_bold(), "address", "size", "state",
           "type", "protect", "private", "shared", "name", cli_plain());
    json_array_foreach(json_object_get(doc, "regions"), i, r) print_region(r);
    print_summary(json_object_get(doc, "summary"));
}

int cmd_walk(int argc, char **argv)
{
    static const struct cli_spec spec = {
        .args_doc = "PID",
        .doc = "Shows every region of a process in which peldr runs, as VirtualQuery reports it "
               "there, "
               "with the image or file behind it, and sums by type. Private memory belongs to that "
               "process alone; shared memory is resident and mapped by another process as well.\v"
               "Examples:\n  peldr run server.exe &\n  peldr walk $!\n"
               "  peldr walk --json $! | jq '.summary.image.private_kib'\n"
               "  peldr walk --json $! | jq -r '.modules[].path'\n",
        .min_args = 1,
        .max_args = 1};
    struct cli cli;
    char *end;

    cli_parse(&spec, argc, argv, &cli, NULL);
    errno = 0;
    unsigned long id = strtoul(cli.args[0], &end, 10);
    if (errno || *end || end == cli.args[0] || *cli.args[0] == '-' || id == 0 || id > INT32_MAX) {
        fprintf(stderr, "peldr walk: %s is not a process id\n", cli.args[0]);
        return CLI_USAGE;
    }
    return doc_show(walk_json((uint32_t)id), cli.json, walk_print);
}
