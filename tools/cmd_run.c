/* peldr run: an EXE as a process. */
#include <stdlib.h>

#include "loader/peldr.h"
#include "tools/cli.h"

int cmd_run(int argc, char **argv);

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
        .min_args = 1,
        .max_args = -1};
    struct cli cli;
    peldr_module *exe;

    cli_parse(&spec, argc, argv, &cli, NULL);
    cli_hand_over(cli.args[0], &cli);
    exe = peldr_open(cli.args[0], PELDR_EXE);
    if (!exe)
        return cli_fail("%s", peldr_error());
    return peldr_run(exe, cli.count, cli.args);
}
