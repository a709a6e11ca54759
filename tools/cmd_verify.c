/* peldr verify: would Windows load it, and if not by which rule? */
#include <errno.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/peldr.h"
#include "tools/cli.h"
#include "tools/doc.h"

int cmd_verify(int argc, char **argv);

struct verify {
    bool recursive, json;
    int versions;
    int role;      /* PELDR_VERIFY_AS_*, 0 = what the image says */
    bool many;     /* more than one file may be told of: JSON Lines */
    bool progress; /* standard error is a terminal, standard output is not the same */
    unsigned long files, refused, failed, passed_over;
};

enum { KEY_AS = 0x200 };

static const struct argp_option options[] = {
    {"recursive", 'r', NULL, 0,
     "Walk folders; files in them that do not begin with MZ are left out", 0},
    {"as", KEY_AS, "ROLE", 0, "Judge as a program or as a dll, whatever the image says it is", 0},
    {0}};

static error_t parse_option(int key, char *arg, struct argp_state *state, void *own)
{
    struct verify *verify = own;
    switch (key) {
    case 'r':
        verify->recursive = true;
        return 0;
    case KEY_AS:
        if (strcmp(arg, "program") != 0 && strcmp(arg, "dll") != 0)
            argp_error(state, "--as is program or dll, not %s", arg);
        verify->role = *arg == 'p' ? PELDR_VERIFY_AS_PROGRAM : PELDR_VERIFY_AS_DLL;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- one file -------------------------------------------------------------------------------- */

static const char *version_key(int version)
{
    const struct windows_version *v = windows_versions;
    while (v->name && v->version != version)
        v++;
    return v->name ? v->name : "";
}

static json_t *versions_json(int versions)
{
    json_t *array = json_array();
    for (const struct windows_version *v = windows_versions; v->name; v++)
        if (versions & v->version)
            json_array_append_new(array, json_string(v->name));
    return array;
}

/* The rules of a version; `user` is the document's "verdicts". */
static void note_rule(void *user, const struct peldr_broken_rule *rule)
{
    json_t *verdict = json_object_get(user, version_key(rule->windows)), *o = json_object();
    doc_set(o, "id", json_string(rule->id));
    doc_set(o, "text", doc_text(rule->text));
    doc_set(o, "versions", versions_json(rule->versions));
    doc_set(o, "stage", json_string(rule->stage));
    doc_set(o, "status", json_string(peldr_status_name(rule->status)));
    doc_set(o, "field", doc_text(rule->field));
    doc_set(o, "offset", rule->offset == UINT64_MAX ? json_null() : doc_hex(rule->offset));
    doc_set(o, "value", doc_hex(rule->value));
    doc_set(o, "found", doc_text(rule->found));
    json_array_append_new(json_object_get(verdict, "rules"), o);
}

static json_t *verify_json(const char *path, int versions, int role)
{
    json_t *doc = doc_new("verify", path), *verdicts = json_object();
    for (const struct windows_version *v = windows_versions; v->name; v++) {
        json_t *verdict = json_object();
        if (!(versions & v->version)) {
            json_decref(verdict);
            continue;
        }
        doc_set(verdict, "accepted", json_false());
        doc_set(verdict, "rules", json_array());
        doc_set(verdicts, v->name, verdict);
    }
    int accepted = peldr_verify(path, versions | role, note_rule, verdicts);
    if (accepted < 0) {
        doc_set(doc, "error", doc_text(peldr_error()));
        json_decref(verdicts);
        return doc;
    }
    for (const struct windows_version *v = windows_versions; v->name; v++)
        if (accepted & v->version)
            doc_set(json_object_get(verdicts, v->name), "accepted", json_true());
    doc_set(doc, "accepted", json_boolean(accepted == versions));
    doc_set(doc, "verdicts", verdicts);
    return doc;
}

/* "XP, 7", of the verdicts that say `accepted`. */
static const char *titles(const json_t *verdicts, bool accepted, char out[16])
{
    size_t n = 0;
    out[0] = 0;
    for (const struct windows_version *v = windows_versions; v->name; v++) {
        const json_t *verdict = json_object_get(verdicts, v->name);
        if (verdict && json_is_true(json_object_get(verdict, "accepted")) == accepted)
            n += (size_t)snprintf(out + n, 16 - n, "%s%s", n ? ", " : "", v->title);
    }
    return out;
}

static bool is_same_rule(const json_t *a, const json_t *b)
{
    return strcmp(doc_get(a, "id"), doc_get(b, "id")) == 0 &&
           strcmp(doc_get(a, "found"), doc_get(b, "found")) == 0;
}

/* Versions before `v` have told of it already. */
static bool is_told(const json_t *verdicts, const struct windows_version *v, const json_t *rule)
{
    size_t i;
    const json_t *other;
    for (const struct windows_version *w = windows_versions; w != v; w++)
        json_array_foreach(json_object_get(json_object_get(verdicts, w->name), "rules"), i,
                           other) if (is_same_rule(rule, other)) return true;
    return false;
}

/* A rule with all versions that refuse by it and found the same. */
static void print_rule(const json_t *verdicts, const json_t *rule)
{
    size_t i;
    const json_t *other;
    const char *separator = "";
    printf("  refused by rule %s%s%s (Windows ", cli_bold(), doc_get(rule, "id"), cli_plain());
    for (const struct windows_version *v = windows_versions; v->name; v++)
        json_array_foreach(json_object_get(json_object_get(verdicts, v->name), "rules"), i,
                           other) if (is_same_rule(rule, other))
        {
            printf("%s%s", separator, v->title);
            separator = ", ";
            break;
        }
    printf("): %s\n      %s", doc_get(rule, "found"), doc_get(rule, "field"));
    if (*doc_get(rule, "offset"))
        printf(" at file offset %s", doc_get(rule, "offset"));
    printf(" is %s\n", doc_get(rule, "value"));
}

static void verify_print(json_t *doc)
{
    const json_t *verdicts = json_object_get(doc, "verdicts"), *rule;
    char accepted[16], refused[16];
    size_t i;
    if (!verdicts)
        return;
    titles(verdicts, true, accepted);
    titles(verdicts, false, refused);
    printf("%s: ", doc_get(doc, "file"));
    if (*accepted)
        printf("accepted (Windows %s)%s", accepted, *refused ? ", " : "");
    if (*refused)
        printf("%srefused%s (Windows %s)", cli_red(), cli_plain(), refused);
    putchar('\n');
    for (const struct windows_version *v = windows_versions; v->name; v++)
        json_array_foreach(json_object_get(json_object_get(verdicts, v->name), "rules"), i,
                           rule) if (!is_told(verdicts, v, rule)) print_rule(verdicts, rule);
}

/* ---- many files ------------------------------------------------------------------------------ */

static void show_progress(const struct verify *verify, const char *path)
{
    if (verify->progress)
        fprintf(stderr, "\r\033[K%lu files, %lu refused  %.60s", verify->files, verify->refused,
                path ? path : "");
}

static void end_progress(const struct verify *verify)
{
    if (verify->progress)
        fprintf(stderr, "\r\033[K");
}

static void one_file(struct verify *verify, const char *path)
{
    json_t *doc = verify_json(path, verify->versions, verify->role);
    bool failed = *doc_get(doc, "error");
    verify->files++;
    verify->failed += failed;
    verify->refused += !failed && !json_is_true(json_object_get(doc, "accepted"));
    if (verify->json && verify->many) {
        json_dumpf(doc, stdout, JSON_COMPACT);
        putchar('\n');
        if (failed)
            cli_fail("%s", doc_get(doc, "error"));
        json_decref(doc);
    } else {
        doc_show(doc, verify->json, verify_print);
    }
}

static bool begins_with_mz(const char *path)
{
    FILE *f = fopen(path, "rbe");
    char magic[2] = {0};
    bool mz = f && fread(magic, 1, 2, f) == 2 && magic[0] == 'M' && magic[1] == 'Z';
    if (f)
        fclose(f);
    return mz;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static void one_folder(struct verify *verify, char *path)
{
    char *const paths[] = {path, NULL};
    FTS *fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_COMFOLLOW, by_name);
    for (FTSENT *e; fts && (e = fts_read(fts));) {
        if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR) {
            cli_fail("%s: %s", e->fts_path, strerror(e->fts_errno));
            verify->failed++;
        }
        if (e->fts_info != FTS_F)
            continue;
        show_progress(verify, e->fts_name);
        if (begins_with_mz(e->fts_path)) {
            if (!verify->json)
                end_progress(verify);
            one_file(verify, e->fts_path);
        } else {
            verify->passed_over++;
        }
    }
    if (!fts || fts_close(fts) != 0) {
        cli_fail("%s: %s", path, strerror(errno));
        verify->failed++;
    }
    end_progress(verify);
}

static void summary(const struct verify *verify)
{
    printf("%lu files: %lu accepted, %lu refused", verify->files,
           verify->files - verify->refused - verify->failed, verify->refused);
    if (verify->failed)
        printf(", %lu not read", verify->failed);
    if (verify->passed_over)
        printf("; %lu without MZ left out", verify->passed_over);
    putchar('\n');
}

int cmd_verify(int argc, char **argv)
{
    static const struct cli_spec spec = {
        .args_doc = "FILE...",
        .doc = "Says whether Windows XP, 7 and 10 would load each image and, where one would not, "
               "every rule that the image breaks, with the field, its place in the file and its "
               "value. DLLs are judged as DLLs, other images as programs. What an image imports is "
               "not looked at (peldr deps). --windows asks one version alone.\v"
               "Examples:\n  peldr verify strange.exe\n"
               "  peldr verify --windows=xp old.dll\n"
               "  peldr verify --as=program tool.dll\n"
               "  peldr verify -r --json dlls/ | jq -r 'select(.accepted | not) | .file'\n\n"
               "The exit status is 1 when any version that is asked refuses any file. With --json, "
               "more than one file or a folder gives one document a line (JSON Lines).",
        .options = options,
        .option = parse_option,
        .min_args = 1,
        .max_args = INT_MAX};
    struct verify verify = {0};
    struct cli cli;

    cli_parse(&spec, argc, argv, &cli, &verify);
    verify.json = cli.json;
    verify.versions = cli.windows ? cli.windows : PELDR_WINDOWS_ALL;
    verify.many = verify.recursive || cli.count > 1;
    verify.progress = verify.recursive && isatty(STDERR_FILENO);
    for (int i = 0; i < cli.count; i++) {
        if (verify.recursive)
            one_folder(&verify, cli.args[i]);
        else
            one_file(&verify, cli.args[i]);
    }
    if (verify.many && !verify.json)
        summary(&verify);
    return verify.refused || verify.failed ? CLI_REFUSED : CLI_OK;
}
