/* Option parsing and the terminal: see cli.h. */
#include "tools/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/peldr.h"

struct parse {
    const struct cli_spec *spec;
    struct cli *cli;
    void *own;
};

enum { KEY_JSON = 0x100, KEY_WINDOWS, KEY_CACHE };

static const struct argp_option common_options[] = {
    {"json", KEY_JSON, NULL, 0, "Print one JSON document instead of text", 1},
    {"windows", KEY_WINDOWS, "VERSION", 0,
     "By the rules of Windows xp, 7 or 10 (10; PELDR_WINDOWS does the same)", 1},
    {"cache", KEY_CACHE, "DIR", 0,
     "Keep images in DIR, or in memory only with off (PELDR_CACHE does the same)", 1},
    {"directory", 'L', "DIR", 0, "Also search DIR for DLLs (PELDR_PATH does the same)", 1},
    {0}};

/*
 * Programs that the image starts look there, too: they are processes of their own, which get the
 * environment. What -L names stands before what was in PELDR_PATH, in the order given.
 */
static void hand_on_directory(const char *directory)
{
    static char *before, *given;
    char *path = realpath(directory, NULL), *list = NULL, *all = NULL;
    if (!before)
        before = strdup(getenv("PELDR_PATH") ? getenv("PELDR_PATH") : "");
    if (path && before &&
        asprintf(&list, "%s%s%s", given ? given : "", given ? ":" : "", path) >= 0 &&
        asprintf(&all, "%s%s%s", list, *before ? ":" : "", before) >= 0)
        setenv("PELDR_PATH", all, 1);
    free(path);
    free(all);
    free(given);
    given = list;
}

const struct windows_version windows_versions[] = {{"xp", PELDR_WINDOWS_XP, "XP"},
                                                   {"7", PELDR_WINDOWS_7, "7"},
                                                   {"10", PELDR_WINDOWS_10, "10"},
                                                   {0}};

/* Programs that the image starts are to see the same version. */
static void choose_windows(struct argp_state *state, struct cli *cli, const char *name)
{
    const struct windows_version *v = windows_versions;
    while (v->name && strcasecmp(v->name, name) != 0)
        v++;
    if (!v->name)
        argp_error(state, "--windows is xp, 7 or 10, not %s", name);
    cli->windows = v->version;
    peldr_set_windows(v->version);
    setenv("PELDR_WINDOWS", v->name, 1);
}

/* Programs that the image starts are to use the same one. */
static void choose_cache(struct argp_state *state, const char *place)
{
    char *folder = NULL;
    if (peldr_set_cache(place, 0) != 0)
        argp_error(state, "%s", peldr_error());
    if (strcmp(place, "off") != 0)
        folder = peldr_cache_folder(NULL);
    setenv("PELDR_CACHE", folder ? folder : "off", 1);
    free(folder);
}

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
    struct parse *parse = state->input;
    switch (key) {
    case KEY_JSON:
        parse->cli->json = true;
        return 0;
    case KEY_WINDOWS:
        choose_windows(state, parse->cli, arg);
        return 0;
    case KEY_CACHE:
        choose_cache(state, arg);
        return 0;
    case 'L':
        if (peldr_add_directory(arg) != 0)
            argp_error(state, "%s", peldr_error());
        hand_on_directory(arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* What is left belongs to the image: "-5" is a number there, not an option. */
static void take_rest(struct cli *cli, struct argp_state *state)
{
    while (state->next < state->argc)
        cli->args[cli->count++] = state->argv[state->next++];
}

static error_t parse_own(int key, char *arg, struct argp_state *state)
{
    struct parse *parse = state->input;
    const struct cli_spec *spec = parse->spec;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = parse;
        return 0;
    case ARGP_KEY_ARG:
        if (spec->max_args >= 0 && (int)state->arg_num >= spec->max_args)
            argp_error(state, "too many arguments: %s", arg);
        parse->cli->args[parse->cli->count++] = arg;
        if (spec->max_args < 0 && parse->cli->count == spec->min_args)
            take_rest(parse->cli, state);
        return 0;
    case ARGP_KEY_END:
        if (parse->cli->count < spec->min_args)
            argp_error(state, "%s is missing", spec->args_doc);
        return 0;
    default:
        return spec->option ? spec->option(key, arg, state, parse->own) : ARGP_ERR_UNKNOWN;
    }
}

/* One command line a process; an image's code may end the process at any time, so exit() frees it.
 */
static char **kept_args, **kept_original;

static void release(void)
{
    for (char **p = kept_original; p && *p; p++)
        free(*p);
    free(kept_original);
    free(kept_args);
}

/* NULL-terminated, "peldr" in front as execv() wants it. */
static char **copy_args(int argc, char **argv)
{
    char **copy = calloc((size_t)argc + 2, sizeof *copy);
    if (!copy || !(copy[0] = strdup("peldr")))
        exit(cli_fail("not enough memory"));
    for (int i = 0; i < argc; i++)
        if (!(copy[i + 1] = strdup(argv[i])))
            exit(cli_fail("not enough memory"));
    return copy;
}

/* A command line without options whose arguments are the image's: there is nothing to parse, which
 * every program that is run waits for. */
static bool take_all(const struct cli_spec *spec, int argc, char **argv, struct cli *cli)
{
    bool all = spec->max_args < 0 && spec->min_args == 1 && argc > 1 && argv[1][0] != '-';
    for (int i = 1; all && i < argc; i++)
        cli->args[cli->count++] = argv[i];
    return all;
}

void cli_parse(const struct cli_spec *spec, int argc, char **argv, struct cli *cli, void *own)
{
    static const struct argp common = {common_options, parse_common, NULL, NULL, NULL, NULL, NULL};
    const struct argp_child children[] = {{&common, 0, NULL, 0}, {0}};
    const struct argp argp = {spec->options, parse_own, spec->args_doc, spec->doc, children,
                              NULL,          NULL};
    struct parse parse = {spec, cli, own};
    char name[64];

    kept_args = calloc((size_t)argc + 1, sizeof *kept_args);
    kept_original = copy_args(argc, argv);
    if (!kept_args || atexit(release) != 0)
        exit(cli_fail("not enough memory"));
    *cli = (struct cli){.args = kept_args, .original = kept_original};
    if (take_all(spec, argc, argv, cli))
        return;
    snprintf(name, sizeof name, "peldr %s", argv[0]);
    argv[0] = name;
    argp_err_exit_status = CLI_USAGE;
    /* In order when the image has arguments of its own, so that they are not taken for options. */
    if (argp_parse(&argp, argc, argv, spec->max_args < 0 ? ARGP_IN_ORDER : 0, NULL, &parse) != 0)
        exit(CLI_USAGE);
}

uint64_t cli_number(struct argp_state *state, const char *text)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 0);
    if (errno || end == text || *end || *text == '-')
        argp_error(state, "%s is not a number", text);
    return value;
}

int cli_fail(const char *fmt, ...)
{
    va_list ap;
    fprintf(stderr, "peldr: ");
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return CLI_REFUSED;
}

static const char *on_terminal(const char *sequence)
{
    static int terminal = -1;
    if (terminal < 0)
        terminal = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
    return terminal ? sequence : "";
}

const char *cli_bold(void)
{
    return on_terminal("\033[1m");
}

const char *cli_dim(void)
{
    return on_terminal("\033[2m");
}

const char *cli_red(void)
{
    return on_terminal("\033[31m");
}

const char *cli_plain(void)
{
    return on_terminal("\033[0m");
}
