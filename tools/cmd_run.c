/* peldr run: an EXE as a process. */
#include <stdlib.h>

#include "loader/peldr.h"
#include "tools/cli.h"

int cmd_run(int argc, char **argv);

enum { KEY_CHILD = 0x200 };

struct run {
    int socket; /* from the process that has created this one; -1 = none has */
};

static const struct argp_option options[] = {
    {"child", KEY_CHILD, "FD", OPTION_HIDDEN, "Run what the parent's peldr says on FD", 0}, {0}};

static error_t option(int key, char *arg, struct argp_state *state, void *own)
{
    struct run *run = own;
    if (key != KEY_CHILD)
        return ARGP_ERR_UNKNOWN;
    run->socket = (int)cli_number(state, arg);
    return 0;
}

/* Unix has 8 bits for it; a failure must not turn into success by losing the others. */
static int exit_status(int code)
{
    int status = code & 0xff;
    return status == 0 && code != 0 ? 1 : status;
}

int cmd_run(int argc, char **argv)
{
    static const struct cli_spec spec = {
        .args_doc = "EXE [ARGUMENTS...]",
        .doc =
            "Runs a console EXE in this process: its code natively, the Windows API from peldr's "
            "builtin modules and the DLLs found beside it. Everything after EXE is the program's.\v"
            "Examples:\n  peldr run hello.exe one two\n"
            "  peldr run -L /opt/dlls tool.exe --its-own-option\n\n"
            "The exit status is the program's own, cut to 8 bits as on every Unix.",
        .options = options,
        .option = option,
        .min_args = 1,
        .max_args = -1};
    struct run run = {-1};
    struct cli cli;
    peldr_module *exe;

    cli_parse(&spec, argc, argv, &cli, &run);
    if (run.socket >= 0)
        return peldr_run_child(run.socket) == 0 ? CLI_OK : cli_fail("%s", peldr_error());
    cli_hand_over(cli.args[0], &cli);
    exe = peldr_open(cli.args[0], PELDR_EXE);
    if (!exe)
        return cli_fail("%s", peldr_error());
    return exit_status(peldr_run(exe, cli.count, cli.args));
}
