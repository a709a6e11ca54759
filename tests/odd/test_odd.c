/*
 * The odd images of one area (odd.h), in this program's word size: one test per row.
 *
 *     test_odd_sections [ROW...]           runs all rows, or these
 *     test_odd_sections --list             one line per row, for tests/odd/report.py
 *     test_odd_sections --rules            one line per rule, likewise
 *     test_odd_sections --write DIR        writes every image as DIR/AREA-ROW
 *
 * All that is wrong with a row is told at once, for all versions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/odd/runner.h"
#include "tests/unit/tempdir.h"

static const struct {
    enum pe_windows windows;
    const char *name;
} versions[] = {{PE_WINDOWS_XP, "xp"}, {PE_WINDOWS_7, "7"}, {PE_WINDOWS_10, "10"}};
enum { VERSION_COUNT = 3 };

static const unsigned own_format = sizeof(void *) == 8 ? ODD_64 : ODD_32;

void odd_complain(struct odd_case *c, const char *fmt, ...)
{
    char *text = NULL, *all = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        abort();
    va_end(ap);
    size_t length = strlen(text);
    while (length && text[length - 1] == '\n')
        text[--length] = '\0';
    for (char *end; (end = strchr(text, '\n')) != NULL;)
        *end = '|';
    if (asprintf(&all, "%s\n  %s, Windows %s: %s", c->complaints ? c->complaints : "", c->row->name,
                 c->version, text) < 0)
        abort();
    free(c->complaints);
    free(text);
    c->complaints = all;
}

static void case_begin(struct odd_case *c, const struct odd_row *row)
{
    *c = (struct odd_case){.row = row, .version = "any"};
    snprintf(c->dir, sizeof(c->dir), "%s", tempdir_path(row->name));
    snprintf(c->path, sizeof(c->path), "%s/%s.%s", c->dir, row->name, row->dll ? "dll" : "exe");
    tempdir_mkdir(row->name);
    c->odd.dir = c->dir;
    odd_build(&c->odd, row->build);
    if (!odd_write(&c->odd, c->path) ||
        (row->file_size && truncate(c->path, (off_t)row->file_size) != 0))
        abort();
}

static void case_end(struct odd_case *c)
{
    nftw(c->dir, tempdir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(c->odd.bytes);
    free(c->complaints);
}

/* A row must show something: what it prints, or why it cannot. */
static void check_row(struct odd_case *c)
{
    const struct odd_row *row = c->row;
    bool accepted = !row->refused[0] || !row->refused[1] || !row->refused[2];
    if (accepted && !row->dll && !row->output && !row->error && !row->why_not)
        odd_complain(c, "it is not run, and the row does not say why");
}

/*
 * Sanitizers look for what every version does alike: with PELDR_ODD_BRIEF the command runs an image
 * on the newest version that takes it only, and not to be told again that it is refused.
 */
static bool is_run_here(const struct odd_case *c, int version)
{
    struct odd_case later = *c;
    if (!getenv("PELDR_ODD_BRIEF"))
        return true;
    for (int i = version + 1; i < VERSION_COUNT; i++) {
        later.windows = versions[i].windows;
        later.refused = c->row->refused[i];
        if (odd_is_run(&later))
            return false;
    }
    return odd_is_run(c);
}

static void run_row(void **state)
{
    struct odd_case c;
    case_begin(&c, *state);
    check_row(&c);
    for (int i = 0; i < VERSION_COUNT; i++) {
        c.windows = versions[i].windows;
        c.version = versions[i].name;
        c.refused = c.row->refused[i];
        odd_check_verdict(&c);
        if (!c.refused)
            odd_check_view(&c);
        if (is_run_here(&c, i))
            odd_check_run(&c);
    }
    char *complaints = c.complaints;
    c.complaints = NULL;
    case_end(&c);
    if (complaints)
        fprintf(stderr, "%s\n", complaints);
    bool failed = complaints != NULL;
    free(complaints);
    if (failed)
        fail();
}

static bool is_chosen(const struct odd_row *row, int argc, char **argv)
{
    bool chosen = argc < 2;
    for (int i = 1; i < argc; i++)
        chosen = chosen || strcmp(argv[i], row->name) == 0;
    return chosen && row->formats & own_format;
}

static int run_rows(int argc, char **argv)
{
    struct CMUnitTest *tests = NULL;
    size_t count = 0;
    for (const struct odd_row *row = odd_rows; row->name; row++) {
        if (!is_chosen(row, argc, argv))
            continue;
        tests = realloc(tests, (count + 1) * sizeof(*tests));
        if (!tests)
            abort();
        tests[count++] = (struct CMUnitTest){row->name, run_row, NULL, NULL, (void *)row};
    }
    int failed = _cmocka_run_group_tests(odd_area, tests, count, NULL, NULL);
    free(tests);
    return failed || count == 0;
}

/* area, name, word size, dll or program, who refuses it by what, alone?, run?, shows */
static void list_row(const struct odd_row *row)
{
    bool accepted = !row->refused[0] || !row->refused[1] || !row->refused[2];
    bool runs = row->output || row->error || (row->dll && accepted);
    printf("%s\t%s\t%d\t%s\t", odd_area, row->name, own_format == ODD_64 ? 64 : 32,
           row->dll ? "dll" : "program");
    for (int i = 0; i < VERSION_COUNT; i++)
        printf("%s%s", i ? "," : "", row->refused[i] ? row->refused[i] : "-");
    putchar('\t');
    for (int i = 0; i < VERSION_COUNT; i++)
        printf("%s%s", i ? "," : "", odd_is_alone(row, versions[i].windows) ? "alone" : "-");
    printf("\t%s\t%s\n", runs ? "run" : "-", row->shows ? row->shows : "");
}

static int list_rows(void)
{
    for (const struct odd_row *row = odd_rows; row->name; row++)
        if (row->formats & own_format)
            list_row(row);
    return 0;
}

static int list_rules(void)
{
    for (uint32_t i = 0; i < pe_rule_count; i++)
        printf("%s\t%u\t%u\t%u\t%u\t%s\n", pe_rules[i].id, pe_rules[i].windows, pe_rules[i].formats,
               pe_rules[i].stage, pe_rules[i].roles, pe_rules[i].text);
    return 0;
}

static int write_rows(const char *dir)
{
    for (const struct odd_row *row = odd_rows; row->name; row++) {
        char path[2048];
        struct odd_case c;
        if (!(row->formats & own_format))
            continue;
        case_begin(&c, row);
        snprintf(path, sizeof(path), "%s/%s-%s", dir, odd_area, row->name);
        bool ok = odd_write(&c.odd, path);
        case_end(&c);
        if (!ok) {
            perror(path);
            return 1;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0)
        return list_rows();
    if (argc == 2 && strcmp(argv[1], "--rules") == 0)
        return list_rules();
    if (tempdir_create() != 0) {
        perror("temporary directory");
        return 1;
    }
    setenv("XDG_RUNTIME_DIR", tempdir, 1);
    bool write = argc == 3 && strcmp(argv[1], "--write") == 0;
    int status = write ? write_rows(argv[2]) : run_rows(argc, argv);
    tempdir_remove();
    return status;
}
