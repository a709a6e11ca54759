/* peldr sections: what processes share by name, and the images they have loaded. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "loader/peldr.h"
#include "tools/cli.h"
#include "tools/doc.h"
#include "tools/flags.h"
#include "tools/table.h"

int cmd_sections(int argc, char **argv);

enum { HOLDERS_WIDTH = 20, MIN_NAME_WIDTH = 20, MAX_NAME_WIDTH = 40 };

/* Of the tables' first column: the longest name that is not too long. */
static int name_width = MIN_NAME_WIDTH;

static const struct argp_option options[] = {
    {"all", 'a', NULL, 0, "Also named events, mutexes, semaphores and timers", 0}, {0}};

static const struct flag_name attribute_flags[] = {
    {0x800000, "FILE"},           {0x1000000, "IMAGE"},
    {0x4000000, "RESERVE"},       {0x8000000, "COMMIT"},
    {0x10000000, "NOCACHE"},      {0x40000000, "WRITECOMBINE"},
    {0x80000000u, "LARGE_PAGES"}, {0}};

static error_t parse_option(int key, char *arg, struct argp_state *state, void *own)
{
    if (key != 'a')
        return ARGP_ERR_UNKNOWN;
    *(bool *)own = true;
    return 0;
}

struct gathered {
    json_t *sections, *images, *objects;
};

static json_t *holders_json(const struct peldr_object *object)
{
    json_t *holders = json_array();
    for (uint32_t i = 0; i < object->holder_count; i++)
        json_array_append_new(holders, json_integer(object->holders[i]));
    return holders;
}

static int add_object(void *user, const struct peldr_object *object)
{
    struct gathered *gathered = user;
    bool section = strcmp(object->type, "section") == 0, image = strcmp(object->type, "image") == 0;
    json_t *o = json_object();
    doc_set(o, "name", doc_text(object->name));
    if (!section && !image)
        doc_set(o, "type", doc_text(object->type));
    if (section || image) {
        doc_set(o, "size", doc_hex(object->size));
        doc_set(o, "path", *object->path ? doc_text(object->path) : json_null());
    }
    if (section) {
        doc_set(o, "protect", json_string(peldr_protect_name(object->protect)));
        doc_set(o, "attributes", flags_json(attribute_flags, object->attributes));
    }
    doc_set(o, "holders", holders_json(object));
    json_array_append_new(section ? gathered->sections
                          : image ? gathered->images
                                  : gathered->objects,
                          o);
    return 0;
}

static json_t *sections_json(bool all)
{
    struct gathered gathered = {json_array(), json_array(), json_array()};
    json_t *doc = doc_new("sections", NULL);
    if (peldr_each_object(add_object, &gathered) != 0) {
        doc_set(doc, "error", doc_text(peldr_error()));
        doc_set(doc, "status", json_string(peldr_status_name(peldr_error_status())));
    }
    doc_set(doc, "sections", gathered.sections);
    doc_set(doc, "images", gathered.images);
    if (all)
        doc_set(doc, "objects", gathered.objects);
    else
        json_decref(gathered.objects);
    return doc;
}

/* ---- as tables ---- */

/* "12 345 +2": the first few that fit. */
static const char *holders_cell(const json_t *object, char out[HOLDERS_WIDTH + 1])
{
    const json_t *array = json_object_get(object, "holders");
    size_t count = json_array_size(array), used = 0;
    *out = '\0';
    for (size_t i = 0; i < count; i++) {
        char id[24], rest[24] = "";
        int length = snprintf(id, sizeof id, "%s%" JSON_INTEGER_FORMAT, i ? " " : "",
                              json_integer_value(json_array_get(array, i)));
        if (i + 1 < count)
            snprintf(rest, sizeof rest, " +%zu", count - i - 1);
        if (used + (size_t)length + strlen(rest) > HOLDERS_WIDTH && i > 0) {
            snprintf(out + used, HOLDERS_WIDTH + 1 - used, " +%zu", count - i);
            break;
        }
        used += (size_t)snprintf(out + used, HOLDERS_WIDTH + 1 - used, "%s", id);
    }
    return out;
}

static void print_row(const char *name, const char *size, const char *what, const char *holders,
                      const char *file)
{
    printf("%-*s %7s  %-17s  %-*s%s%s\n", name_width, name, size, what, *file ? HOLDERS_WIDTH : 0,
           holders, *file ? "  " : "", file);
}

static void print_section(const json_t *o)
{
    char size[TABLE_SIZE], protect[48], holders[HOLDERS_WIDTH + 1];
    const char *path = doc_get(o, "path");
    print_row(doc_get(o, "name"), table_size(table_hex(o, "size"), size),
              table_protect(doc_get(o, "protect"), protect), holders_cell(o, holders),
              *path ? path : "(paging file)");
}

static void print_image(const json_t *o)
{
    char size[TABLE_SIZE], holders[HOLDERS_WIDTH + 1];
    print_row(doc_get(o, "name"), table_size(table_hex(o, "size"), size), "",
              holders_cell(o, holders), doc_get(o, "path"));
}

static void print_other(const json_t *o)
{
    char holders[HOLDERS_WIDTH + 1];
    print_row(doc_get(o, "name"), "", doc_get(o, "type"), holders_cell(o, holders), "");
}

static void measure_names(const json_t *doc, const char *key)
{
    const json_t *object;
    size_t i;
    json_array_foreach(json_object_get(doc, key), i, object)
    {
        int length = (int)strlen(doc_get(object, "name"));
        if (length > name_width && length <= MAX_NAME_WIDTH)
            name_width = length;
    }
}

/* Nothing at all for a key that the document does not have. */
static void print_part(const json_t *doc, const char *key, const char *const title[4],
                       void (*print)(const json_t *object))
{
    const json_t *array = json_object_get(doc, key), *object;
    size_t i;
    if (!array)
        return;
    printf("%s", cli_bold());
    print_row(title[0], title[1], title[2], "processes", title[3]);
    printf("%s", cli_plain());
    json_array_foreach(array, i, object) print(object);
    if (json_array_size(array) == 0)
        printf("%s(none)%s\n", cli_dim(), cli_plain());
    putchar('\n');
}

static void sections_print(json_t *doc)
{
    static const char *const sections[] = {"section", "size", "protect", "file"};
    static const char *const objects[] = {"object", "", "type", ""};
    static const char *const images[] = {"image", "size", "", "file"};
    if (json_object_get(doc, "error"))
        return;
    measure_names(doc, "sections");
    measure_names(doc, "objects");
    measure_names(doc, "images");
    print_part(doc, "sections", sections, print_section);
    print_part(doc, "objects", objects, print_other);
    print_part(doc, "images", images, print_image);
}

int cmd_sections(int argc, char **argv)
{
    static const struct cli_spec spec = {
        .args_doc = "",
        .doc =
            "Lists the named section objects that some process of this user holds and the images "
            "that are loaded, with their size and the processes that have them.\v"
            "Examples:\n  peldr sections\n  peldr sections --all\n"
            "  peldr sections --json | jq '.sections[] | {name, holders}'\n"
            "  peldr sections --json | jq -r '.images[] | select(.holders | length > 1).path'\n",
        .options = options,
        .option = parse_option,
        .min_args = 0,
        .max_args = 0};
    struct cli cli;
    bool all = false;

    cli_parse(&spec, argc, argv, &cli, &all);
    return doc_show(sections_json(all), cli.json, sections_print);
}
