/* peldr inspect: what the file says. Nothing is mapped and nothing is trusted. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pe/dirs.h"
#include "pe/rules.h"
#include "tools/cli.h"
#include "tools/doc.h"
#include "tools/flags.h"

int cmd_inspect(int argc, char **argv);

static json_t *version(uint16_t major, uint16_t minor)
{
    return doc_format("%u.%u", major, minor);
}

static json_t *headers_json(const struct pe_headers *h)
{
    json_t *o = json_object();
    doc_set(o, "e_lfanew", doc_hex(h->e_lfanew));
    doc_set(o, "magic", json_string(h->pe32_plus ? "PE32+" : "PE32"));
    doc_set(o, "time_date_stamp", doc_hex(h->time_date_stamp));
    doc_set(o, "characteristics", flags_json(file_flags, h->characteristics));
    doc_set(o, "dll_characteristics", flags_json(dll_flags, h->dll_characteristics));
    doc_set(o, "subsystem", json_string(subsystem_name(h->subsystem)));
    doc_set(o, "subsystem_version",
            version(h->major_subsystem_version, h->minor_subsystem_version));
    doc_set(o, "linker_version", version(h->major_linker_version, h->minor_linker_version));
    doc_set(o, "image_base", doc_hex(h->image_base));
    doc_set(o, "address_of_entry_point", doc_hex(h->address_of_entry_point));
    doc_set(o, "section_alignment", doc_hex(h->section_alignment));
    doc_set(o, "file_alignment", doc_hex(h->file_alignment));
    doc_set(o, "size_of_image", doc_hex(h->size_of_image));
    doc_set(o, "size_of_headers", doc_hex(h->size_of_headers));
    doc_set(o, "size_of_stack_reserve", doc_hex(h->size_of_stack_reserve));
    doc_set(o, "size_of_stack_commit", doc_hex(h->size_of_stack_commit));
    doc_set(o, "size_of_heap_reserve", doc_hex(h->size_of_heap_reserve));
    doc_set(o, "size_of_heap_commit", doc_hex(h->size_of_heap_commit));
    doc_set(o, "number_of_rva_and_sizes", json_integer(h->number_of_rva_and_sizes));
    return o;
}

static json_t *sections_json(const struct pe_image *image)
{
    json_t *array = json_array();
    struct pe_section s;
    for (uint32_t i = 0; pe_section_at(image, i, &s); i++) {
        json_t *o = json_object();
        doc_set(o, "name", doc_text(s.name));
        doc_set(o, "virtual_address", doc_hex(s.virtual_address));
        doc_set(o, "virtual_size", doc_hex(s.virtual_size));
        doc_set(o, "pointer_to_raw_data", doc_hex(s.pointer_to_raw_data));
        doc_set(o, "size_of_raw_data", doc_hex(s.size_of_raw_data));
        doc_set(o, "characteristics", flags_json(section_flags, s.characteristics));
        json_array_append_new(array, o);
    }
    return array;
}

static json_t *directories_json(const struct pe_image *image)
{
    json_t *array = json_array();
    for (unsigned i = 0; i < PE_DIRECTORY_COUNT; i++) {
        const struct pe_directory *d = &image->h.directory[i];
        json_t *o;
        if (!d->rva && !d->size)
            continue;
        o = json_object();
        doc_set(o, "name", json_string(directory_name(i)));
        doc_set(o, i == IMAGE_DIRECTORY_ENTRY_SECURITY ? "offset" : "rva", doc_hex(d->rva));
        doc_set(o, "size", doc_hex(d->size));
        json_array_append_new(array, o);
    }
    return array;
}

static json_t *tls_json(const struct pe_image *image)
{
    struct pe_tls tls;
    json_t *o, *callbacks;
    uint64_t va;
    if (!pe_tls_get(image, &tls))
        return json_null();
    o = json_object();
    doc_set(o, "start_address_of_raw_data", doc_hex(tls.start_address_of_raw_data));
    doc_set(o, "end_address_of_raw_data", doc_hex(tls.end_address_of_raw_data));
    doc_set(o, "address_of_index", doc_hex(tls.address_of_index));
    doc_set(o, "address_of_callbacks", doc_hex(tls.address_of_callbacks));
    doc_set(o, "size_of_zero_fill", doc_hex(tls.size_of_zero_fill));
    doc_set(o, "alignment", json_integer(tls.alignment));
    callbacks = json_array();
    for (uint32_t i = 0; i < 4096 && pe_tls_callback(image, &tls, i, &va) > 0; i++)
        json_array_append_new(callbacks, doc_hex(va));
    doc_set(o, "callbacks", callbacks);
    return o;
}

static json_t *load_config_json(const struct pe_image *image)
{
    struct pe_load_config c;
    json_t *o;
    if (!pe_load_config_get(image, &c))
        return json_null();
    o = json_object();
    doc_set(o, "size", doc_hex(c.size));
    doc_set(o, "security_cookie", doc_hex(c.security_cookie));
    doc_set(o, "se_handler_table", doc_hex(c.se_handler_table));
    doc_set(o, "se_handler_count", json_integer((json_int_t)c.se_handler_count));
    doc_set(o, "guard_flags", doc_hex(c.guard_flags));
    doc_set(o, "guard_cf_function_count", json_integer((json_int_t)c.guard_cf_function_count));
    return o;
}

static json_t *debug_json(const struct pe_image *image)
{
    json_t *array = json_array();
    struct pe_debug_entry e;
    uint32_t count = pe_debug_count(image);
    for (uint32_t i = 0; i < count && pe_debug_at(image, i, &e); i++) {
        json_t *o = json_object();
        doc_set(o, "type", json_string(pe_debug_type_name(e.type)));
        doc_set(o, "rva", doc_hex(e.address_of_raw_data));
        doc_set(o, "offset", doc_hex(e.pointer_to_raw_data));
        doc_set(o, "size", doc_hex(e.size_of_data));
        if (e.pdb_path.ptr)
            doc_set(o, "pdb_path", doc_str(e.pdb_path));
        json_array_append_new(array, o);
    }
    return array;
}

static json_t *resource_name(const struct pe_image *image, const struct pe_resource_entry *e)
{
    char text[256];
    uint32_t n = 0;
    uint16_t c;
    if (!e->named)
        return json_integer(e->id);
    for (; n < e->name_len && n < sizeof text; n++) {
        if (!pe_rva_u16(image, e->name_rva + 2 * n, &c))
            break;
        text[n] = c >= 0x20 && c < 0x7f ? (char)c : '?';
    }
    return doc_str((struct pe_str){text, n});
}

/* One table of the tree; `budget` bounds the work that a looping tree can cause. */
static json_t *resources_json(const struct pe_resource_dir *dir, int depth, uint32_t *budget)
{
    json_t *array = json_array();
    struct pe_resource_entry e;
    for (uint32_t i = 0; pe_resource_entry_at(dir, i, &e) && *budget; i++, (*budget)--) {
        json_t *o = json_object();
        struct pe_resource_dir sub;
        struct pe_resource_data data;
        doc_set(o, e.named ? "name" : "id", resource_name(dir->image, &e));
        if (e.is_dir && depth < PE_RESOURCE_MAX_DEPTH && pe_resource_enter(dir, &e, &sub)) {
            doc_set(o, "entries", resources_json(&sub, depth + 1, budget));
        } else if (!e.is_dir && pe_resource_data_of(dir, &e, &data)) {
            doc_set(o, "rva", doc_hex(data.rva));
            doc_set(o, "size", json_integer(data.size));
            doc_set(o, "code_page", json_integer(data.code_page));
        }
        json_array_append_new(array, o);
    }
    return array;
}

static json_t *resource_root_json(const struct pe_image *image)
{
    struct pe_resource_dir root;
    uint32_t budget = 100000;
    return pe_resource_root(image, &root) ? resources_json(&root, 1, &budget) : json_null();
}

/* Whether its section object would be made; `peldr verify` asks everything. */
static json_t *verdict_json(const struct pe_image *image)
{
    struct pe_error err = {0};
    json_t *o = json_object();
    nt_status status =
        pe_rules_check(image, (struct pe_rule_query){PE_STAGE_SECTION, PE_ROLE_ANY}, &err);
    const struct windows_version *version = windows_versions;
    while (version->version != (int)image->windows)
        version++;
    doc_set(o, "version", json_string(version->name));
    doc_set(o, "accepted", json_boolean(nt_ok(status)));
    doc_set(o, "status", json_string(nt_status_name(status)));
    doc_set(o, "rule", doc_text(err.rule));
    doc_set(o, "text", doc_text(err.text));
    return o;
}

static json_t *inspect_json(const struct cli_file *file, void *own)
{
    const struct pe_image *image = &file->image;
    json_t *doc = doc_new("inspect", file->path), *sum;
    uint64_t overlay = pe_overlay_offset(image);

    doc_set(doc, "machine", json_string(pe_machine_name(image->h.machine)));
    doc_set(doc, "headers", headers_json(&image->h));
    doc_set(doc, "sections", sections_json(image));
    doc_set(doc, "directories", directories_json(image));
    doc_set(doc, "tls", tls_json(image));
    doc_set(doc, "load_config", load_config_json(image));
    doc_set(doc, "runtime_functions", json_integer(pe_runtime_function_count(image)));
    doc_set(doc, "debug", debug_json(image));
    doc_set(doc, "resources", resource_root_json(image));
    sum = json_object();
    doc_set(sum, "stored", doc_hex(image->h.checksum));
    doc_set(sum, "computed", doc_hex(pe_checksum(image)));
    doc_set(doc, "checksum", sum);
    doc_set(doc, "overlay_offset", doc_hex(overlay));
    doc_set(
        doc, "overlay_size",
        json_integer(overlay < file->bytes.size ? (json_int_t)(file->bytes.size - overlay) : 0));
    doc_set(doc, "windows", verdict_json(image));
    return doc;
}

/* ---- text --------------------------------------------------------------------------------------
 */

static void print_value(const json_t *value)
{
    size_t i;
    const json_t *item;
    if (json_is_string(value))
        printf("%s", json_string_value(value));
    else if (json_is_integer(value))
        printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_array(value))
        json_array_foreach(value, i, item)
        {
            printf("%s", i ? " " : "");
            print_value(item);
        }
}

static void print_object(const char *title, json_t *object)
{
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return;
    printf("\n%s%s%s\n", cli_bold(), title, cli_plain());
    json_object_foreach(object, key, value)
    {
        printf("  %-28s ", key);
        print_value(value);
        putchar('\n');
    }
}

static void print_sections(const json_t *sections)
{
    size_t i;
    const json_t *s;
    printf("\n%sPE sections%s\n  %-8s %10s %10s %10s %10s  flags\n", cli_bold(), cli_plain(),
           "name", "rva", "size", "offset", "raw size");
    json_array_foreach(sections, i, s)
    {
        printf("  %-8s %10s %10s %10s %10s  ", doc_get(s, "name"), doc_get(s, "virtual_address"),
               doc_get(s, "virtual_size"), doc_get(s, "pointer_to_raw_data"),
               doc_get(s, "size_of_raw_data"));
        print_value(json_object_get(s, "characteristics"));
        putchar('\n');
    }
}

static void print_directories(const json_t *directories)
{
    size_t i;
    const json_t *d;
    printf("\n%sData directories%s\n", cli_bold(), cli_plain());
    json_array_foreach(directories, i, d) printf(
        "  %-16s %s %10s  size %s\n", doc_get(d, "name"),
        json_object_get(d, "rva") ? "rva   " : "offset",
        json_object_get(d, "rva") ? doc_get(d, "rva") : doc_get(d, "offset"), doc_get(d, "size"));
}

static void print_resources(const json_t *entries, int depth)
{
    size_t i;
    const json_t *e;
    json_array_foreach(entries, i, e)
    {
        const json_t *sub = json_object_get(e, "entries");
        printf("  %*s", depth * 2, "");
        print_value(json_object_get(e, json_object_get(e, "id") ? "id" : "name"));
        if (sub)
            putchar('\n');
        else
            printf("  rva %s, %" JSON_INTEGER_FORMAT " bytes\n", doc_get(e, "rva"),
                   doc_int(e, "size"));
        print_resources(sub, depth + 1);
    }
}

/* "Windows XP would refuse it: refused by rule ..." */
static void print_verdict(const json_t *windows)
{
    bool accepted = json_is_true(json_object_get(windows, "accepted"));
    const struct windows_version *version = windows_versions;
    while (strcmp(version->name, doc_get(windows, "version")) != 0)
        version++;
    if (accepted)
        printf("Windows %s would map it\n", version->title);
    else
        printf("%sWindows %s would refuse it%s: %s\n", cli_red(), version->title, cli_plain(),
               doc_get(windows, "text"));
}

static void inspect_print(json_t *doc)
{
    const json_t *sum = json_object_get(doc, "checksum");

    printf("%s%s%s: %s image for %s\n", cli_bold(), doc_get(doc, "file"), cli_plain(),
           doc_get(json_object_get(doc, "headers"), "magic"), doc_get(doc, "machine"));
    print_verdict(json_object_get(doc, "windows"));
    print_object("Headers", json_object_get(doc, "headers"));
    print_sections(json_object_get(doc, "sections"));
    print_directories(json_object_get(doc, "directories"));
    print_object("TLS", json_object_get(doc, "tls"));
    print_object("Load configuration", json_object_get(doc, "load_config"));
    if (json_array_size(json_object_get(doc, "resources"))) {
        printf("\n%sResources%s (type, name, language)\n", cli_bold(), cli_plain());
        print_resources(json_object_get(doc, "resources"), 0);
    }
    printf("\nchecksum %s, computed %s; overlay %" JSON_INTEGER_FORMAT
           " bytes; %" JSON_INTEGER_FORMAT " runtime functions\n",
           doc_get(sum, "stored"), doc_get(sum, "computed"), doc_int(doc, "overlay_size"),
           doc_int(doc, "runtime_functions"));
}

int cmd_inspect(int argc, char **argv)
{
    static const struct cli_spec spec = {
        .args_doc = "IMAGE",
        .doc =
            "Shows headers, PE sections, directories, TLS, load configuration, resources, debug "
            "data, checksum and overlay of a PE file of any machine, and whether Windows 10 would "
            "map it.\v"
            "Examples:\n  peldr inspect zlib1.dll\n  peldr inspect --json zlib1.dll | jq .sections",
        .min_args = 1,
        .max_args = 1};
    return doc_command(argc, argv, &spec, NULL, inspect_json, inspect_print);
}
