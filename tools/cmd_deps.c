/* peldr deps: the recursive import tree and where each module would come from. Loads nothing. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/peldr.h"
#include "pe/imports.h"
#include "tools/cli.h"
#include "tools/doc.h"

int cmd_deps(int argc, char **argv);

#define MAX_MODULES 4096 /* more than any process has; a hostile tree stops here */

/*
 * The tree is kept flat: "modules" has each module once, with the names of what it imports. `todo`
 * is the same array: an index walks it while modules are appended.
 */
static json_t *find_module(json_t *modules, const char *resolved)
{
    size_t i;
    json_t *m;
    json_array_foreach(modules, i, m) if (strcmp(doc_get(m, "resolved"), resolved) == 0) return m;
    return NULL;
}

static void add_module(json_t *modules, const char *name, const char *resolved, const char *source,
                       const char *searched)
{
    json_t *m = json_object();
    doc_set(m, "name", doc_text(name));
    doc_set(m, "source", json_string(source));
    doc_set(m, "resolved", doc_text(resolved));
    if (*searched)
        doc_set(m, "searched", doc_text(searched));
    doc_set(m, "dependencies", json_array());
    json_array_append_new(modules, m);
}

static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? strndup(path, (size_t)(slash - path) + (slash == path)) : strdup(".");
}

static void add_dependency(json_t *modules, json_t *importer, const struct pe_import_module *import,
                           uint16_t machine)
{
    static const char *const sources[] = {"missing", "file", "builtin"};
    char name[NAME_MAX + 1], resolved[PATH_MAX], searched[16384] = "";
    char *dir = directory_of(doc_get(importer, "resolved"));
    json_t *dependency = json_object();
    int found;

    snprintf(name, sizeof name, "%.*s", (int)import->name.len, import->name.ptr);
    found = peldr_resolve(name, dir, machine, resolved, sizeof resolved, searched, sizeof searched);
    free(dir);
    if (found <= 0)
        snprintf(resolved, sizeof resolved, "%s", name);
    doc_set(dependency, "name", doc_text(name));
    doc_set(dependency, "resolved", doc_text(resolved));
    doc_set(dependency, "delay", json_boolean(import->delay));
    json_array_append_new(json_object_get(importer, "dependencies"), dependency);
    if (!find_module(modules, resolved) && json_array_size(modules) < MAX_MODULES)
        add_module(modules, name, resolved, sources[found > 0 ? found : 0],
                   found > 0 ? "" : searched);
}

static void add_dependencies(json_t *modules, json_t *importer, const struct pe_image *image)
{
    bool (*const begin[])(const struct pe_image *, struct pe_import_module_iter *) = {
        pe_import_modules, pe_delay_import_modules};
    struct pe_import_module_iter it;
    struct pe_import_module import;
    for (int i = 0; i < 2; i++)
        if (begin[i](image, &it))
            while (pe_import_module_next(&it, &import) > 0)
                add_dependency(modules, importer, &import, image->h.machine);
}

static json_t *deps_json(const struct cli_file *file, void *own)
{
    json_t *doc = doc_new("deps", file->path), *modules = json_array(), *m;
    size_t missing = 0;
    add_module(modules, file->path, file->path, "file", "");
    for (size_t i = 0; (m = json_array_get(modules, i)); i++) {
        struct cli_file next;
        missing += strcmp(doc_get(m, "source"), "missing") == 0;
        if (strcmp(doc_get(m, "source"), "file") != 0)
            continue;
        if (!cli_file_open(doc_get(m, "resolved"), &next)) {
            doc_set(m, "source", json_string("unreadable"));
            missing++;
            continue;
        }
        doc_set(m, "machine", json_string(pe_machine_name(next.image.h.machine)));
        add_dependencies(modules, m, &next.image);
        cli_file_close(&next);
    }
    doc_set(doc, "modules", modules);
    doc_set(doc, "missing", json_integer((json_int_t)missing));
    if (missing)
        doc_set(doc, "error",
                doc_format("%s: %zu module%s of its import tree cannot be found; add their "
                           "directory with -L or PELDR_PATH",
                           file->path, missing, missing == 1 ? "" : "s"));
    return doc;
}

static void print_tree(json_t *modules, const char *name, const char *resolved, bool delay,
                       int depth)
{
    json_t *m = find_module(modules, resolved);
    const char *source = m ? doc_get(m, "source") : "missing";
    bool lost = strcmp(source, "missing") == 0 || strcmp(source, "unreadable") == 0;
    bool seen = m && json_object_get(m, "printed");
    size_t i;
    const json_t *d;

    printf("%*s%s%s%s%s", depth * 2, "", lost ? cli_red() : "", name, lost ? cli_plain() : "",
           delay ? " (delay)" : "");
    printf("  %s[%s]%s%s\n", cli_dim(), strcmp(source, "file") == 0 ? resolved : source,
           cli_plain(),
           seen && json_array_size(json_object_get(m, "dependencies")) ? " (above)" : "");
    if (!m || seen)
        return;
    doc_set(m, "printed", json_true());
    json_array_foreach(json_object_get(m, "dependencies"), i, d)
        print_tree(modules, doc_get(d, "name"), doc_get(d, "resolved"),
                   json_is_true(json_object_get(d, "delay")), depth + 1);
    for (const char *p = doc_get(m, "searched"); *p;) {
        int length = (int)strcspn(p, "\n");
        printf("%*ssearched %.*s\n", depth * 2 + 2, "", length, p);
        p += length + (p[length] == '\n');
    }
}

static void deps_print(json_t *doc)
{
    print_tree(json_object_get(doc, "modules"), doc_get(doc, "file"), doc_get(doc, "file"), false,
               0);
}

int cmd_deps(int argc, char **argv)
{
    static const struct cli_spec spec = {
        .args_doc = "IMAGE",
        .doc = "Shows which modules an image needs, recursively, and where each would come from: a "
               "file, a builtin module, or nowhere (exit status 1). API-set names are resolved.\v"
               "Examples:\n  peldr deps app.exe\n  peldr deps -L /opt/dlls plugin.dll",
        .min_args = 1,
        .max_args = 1};
    return doc_command(argc, argv, &spec, NULL, deps_json, deps_print);
}
