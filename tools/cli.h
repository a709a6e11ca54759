/*
 * What every subcommand shares: option parsing (argp, the C library's own parser), the image file,
 * exit statuses, colour.
 */
#ifndef TOOLS_CLI_H
#define TOOLS_CLI_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>

#include "pe/image.h"

/* Exit statuses of every subcommand; `run` gives the image's own exit code. */
enum { CLI_OK = 0, CLI_REFUSED = 1, CLI_USAGE = 2 };

struct command {
    const char *name;
    const char *summary; /* one line of `peldr --help` */
    int (*run)(int argc, char **argv);
};
extern const struct command commands[];
extern const unsigned command_count;

/* The description of one subcommand's command line. */
struct cli_spec {
    const char *args_doc;              /* "IMAGE" */
    const char *doc;                   /* what it does, then examples after a \v */
    const struct argp_option *options; /* own options, or NULL */
    /* Handles an own option: 0, or ARGP_ERR_UNKNOWN. May be NULL. */
    error_t (*option)(int key, char *arg, struct argp_state *state, void *own);
    int min_args, max_args; /* max_args < 0: the rest belongs to the image and is not parsed */
};

/* What the common options and the positional arguments became. */
struct cli {
    bool json;
    int windows; /* --windows, a version of peldr.h; 0 = not given */
    int count;
    char **args;
    char **original; /* the whole command line as it came; argp reorders and cuts its own */
};

struct windows_version {
    const char *name; /* "xp"; NULL ends the list */
    int version;      /* PELDR_WINDOWS_* */
    const char *title;
};
extern const struct windows_version windows_versions[];

/* Parses; does not return after a usage error (exit status 2) or --help. */
void cli_parse(const struct cli_spec *spec, int argc, char **argv, struct cli *cli, void *own);
/* A number as C spells it, with nothing behind it; usage error otherwise. */
uint64_t cli_number(struct argp_state *state, const char *text);

/* Prints "peldr: ..." on stderr and returns CLI_REFUSED. */
int cli_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ANSI sequences when stdout is a terminal and NO_COLOR is unset, empty strings otherwise. */
const char *cli_bold(void);
const char *cli_dim(void);
const char *cli_red(void);
const char *cli_plain(void);

/* A whole file in memory. */
struct cli_file {
    const char *path;
    struct pe_span bytes;
    struct pe_image image;
};
/* Reads the file and decodes its headers; prints why not. Release with cli_file_close(). */
bool cli_file_open(const char *path, struct cli_file *out);
void cli_file_close(struct cli_file *file);

/*
 * PE32 code needs a 32-bit process and PE32+ code a 64-bit one: when `path` holds the other kind,
 * replaces this process by the sibling command (peldr32 or peldr) with the same arguments. Returns
 * when this one is right; exits when the sibling is not installed.
 */
void cli_hand_over(const char *path, const struct cli *cli);

#endif
