/* peldr cache: the images that later processes map instead of building them again. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "loader/peldr.h"
#include "tools/cli.h"
#include "tools/doc.h"
#include "tools/table.h"

int cmd_cache(int argc, char **argv);

static const struct argp_option options[] = {
    {"limit", 'l', "SIZE", 0, "prune: keep no more than SIZE (bytes, or with K, M, G)", 0}, {0}};

/* Bytes, or with K, M, G. */
static uint64_t parse_size(struct argp_state *state, const char *text)
{
    static const char units[] = "kmg";
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    const char *unit = *end ? strchr(units, *end | 0x20) : NULL;
    unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
    if (errno || *text < '0' || *text > '9' || end[unit != NULL] || value > UINT64_MAX >> shift)
        argp_error(state, "%s is not a size", text);
    return value << shift;
}

/* A limit of 0 is not the same as none. */
struct cache_options {
    bool limited;
    uint64_t limit;
};

static error_t parse_option(int key, char *arg, struct argp_state *state, void *own)
{
    struct cache_options *o = own;
    if (key != 'l')
        return ARGP_ERR_UNKNOWN;
    o->limit = parse_size(state, arg);
    o->limited = true;
    return 0;
}

/* ---- documents ---- */

static void set_error(json_t *doc)
{
    doc_set(doc, "error", doc_text(peldr_error()));
    doc_set(doc, "status", json_string(peldr_status_name(peldr_error_status())));
}

struct listing {
    json_t *entries;
    json_int_t bytes;
};

static int add_entry(void *user, const struct peldr_cache_entry *entry)
{
    struct listing *listing = user;
    json_t *o = json_object();
    doc_set(o, "name", doc_text(entry->name));
    doc_set(o, "path", *entry->path ? doc_text(entry->path) : json_null());
    doc_set(o, "base", entry->base ? doc_hex(entry->base) : json_null());
    doc_set(o, "bytes", json_integer((json_int_t)entry->size));
    doc_set(o, "last_used", json_integer(entry->last_used));
    doc_set(o, "in_use", json_boolean(entry->in_use));
    doc_set(o, "stale", json_boolean(entry->stale));
    doc_set(o, "damaged", json_boolean(entry->damaged));
    listing->bytes += (json_int_t)entry->size;
    if (json_array_append_new(listing->entries, o) != 0)
        exit(cli_fail("not enough memory"));
    return 0;
}

static void add_list(json_t *doc)
{
    struct listing listing = {json_array(), 0};
    if (peldr_each_cached(add_entry, &listing) != 0)
        set_error(doc);
    doc_set(doc, "bytes", json_integer(listing.bytes));
    doc_set(doc, "entries", listing.entries);
}

static void add_removed(json_t *doc, int result, const struct peldr_cache_removed *removed)
{
    json_t *o;
    if (result != 0) {
        set_error(doc);
        return;
    }
    o = json_object();
    doc_set(o, "entries", json_integer(removed->entries));
    doc_set(o, "bytes", json_integer((json_int_t)removed->bytes));
    doc_set(o, "kept_in_use", json_integer(removed->kept_in_use));
    doc_set(doc, "removed", o);
}

static json_t *cache_json(const char *action, const struct cache_options *o)
{
    struct peldr_cache_removed removed = {0};
    json_t *doc = doc_new("cache", NULL);
    uint64_t limit = 0;
    char *folder = peldr_cache_folder(&limit);
    if (!folder) {
        set_error(doc);
        return doc;
    }
    doc_set(doc, "folder", doc_text(folder));
    doc_set(doc, "limit", json_integer((json_int_t)(limit < INT64_MAX ? limit : INT64_MAX)));
    free(folder);
    if (strcmp(action, "list") == 0)
        add_list(doc);
    else if (strcmp(action, "prune") == 0)
        /* One byte is too few for any entry. */
        add_removed(doc, peldr_cache_prune(o->limited && !o->limit ? 1 : o->limit, &removed),
                    &removed);
    else
        add_removed(doc, peldr_cache_clear(&removed), &removed);
    return doc;
}

/* ---- as text ---- */

static const char *state_of(const json_t *entry)
{
    static const char *const states[] = {"damaged", "in_use", "stale"};
    static const char *const shown[] = {"damaged", "in use", "stale"};
    for (unsigned i = 0; i < 3; i++)
        if (json_is_true(json_object_get(entry, states[i])))
            return shown[i];
    return "";
}

static void print_entry(const json_t *entry)
{
    char size[TABLE_SIZE], used[32] = "";
    time_t when = (time_t)doc_int(entry, "last_used");
    const char *base = doc_get(entry, "base"), *path = doc_get(entry, "path");
    struct tm tm;
    if (localtime_r(&when, &tm))
        strftime(used, sizeof used, "%Y-%m-%d %H:%M", &tm);
    printf("%-16s  %7s  %-14s  %-7s  %s\n", used,
           table_size((uint64_t)doc_int(entry, "bytes"), size), *base ? base : "-", state_of(entry),
           *path ? path : doc_get(entry, "name"));
}

static void print_list(const json_t *doc, const json_t *entries)
{
    char size[TABLE_SIZE], limit[TABLE_SIZE];
    const json_t *entry;
    size_t i;
    if (json_array_size(entries)) {
        printf("%s%-16s  %7s  %-14s  %-7s  %s%s\n", cli_bold(), "last used", "size", "relocated to",
               "state", "image", cli_plain());
        json_array_foreach(entries, i, entry) print_entry(entry);
    }
    printf("%s%zu %s, %s of %s in %s%s\n", cli_dim(), json_array_size(entries),
           json_array_size(entries) == 1 ? "entry" : "entries",
           table_size((uint64_t)doc_int(doc, "bytes"), size),
           table_size((uint64_t)doc_int(doc, "limit"), limit), doc_get(doc, "folder"), cli_plain());
}

static void cache_print(json_t *doc)
{
    const json_t *entries = json_object_get(doc, "entries");
    const json_t *removed = json_object_get(doc, "removed");
    char size[TABLE_SIZE];
    if (json_object_get(doc, "error"))
        return;
    if (entries)
        print_list(doc, entries);
    if (removed) {
        printf("removed %" JSON_INTEGER_FORMAT " (%s)", doc_int(removed, "entries"),
               table_size((uint64_t)doc_int(removed, "bytes"), size));
        if (doc_int(removed, "kept_in_use"))
            printf(", %" JSON_INTEGER_FORMAT " in use stay", doc_int(removed, "kept_in_use"));
        putchar('\n');
    }
}

int cmd_cache(int argc, char **argv)
{
    static const struct cli_spec spec = {
        .args_doc = "list|prune|clear",
        .doc = "Shows or empties the cache of images: what later processes, of either word size, "
               "map instead of building it from the image file again. prune removes what is stale "
               "or damaged, and the least recently used entries beyond the limit (PELDR_CACHE_SIZE "
               "or 2G); clear removes all. Nothing that some process has mapped is removed.\v"
               "Examples:\n  peldr cache list\n  peldr cache prune --limit=500M\n"
               "  peldr cache clear --cache=/var/tmp/my-cache\n"
               "  peldr cache list --json | jq -r '.entries[] | select(.in_use).path'\n",
        .options = options,
        .option = parse_option,
        .min_args = 1,
        .max_args = 1};
    struct cache_options o = {0};
    struct cli cli;

    cli_parse(&spec, argc, argv, &cli, &o);
    if (strcmp(cli.args[0], "list") != 0 && strcmp(cli.args[0], "prune") != 0 &&
        strcmp(cli.args[0], "clear") != 0) {
        cli_fail("cache: list, prune or clear, not %s", cli.args[0]);
        return CLI_USAGE;
    }
    if (o.limited && strcmp(cli.args[0], "prune") != 0) {
        cli_fail("cache: --limit is for prune");
        return CLI_USAGE;
    }
    return doc_show(cache_json(cli.args[0], &o), cli.json, cache_print);
}
