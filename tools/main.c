/* The peldr command: `peldr SUBCOMMAND [options] IMAGE`. One file a subcommand (cmd_*.c). */
#include <stdio.h>
#include <string.h>

#include "loader/bind.h"
#include "loader/peldr.h"
#include "tools/cli.h"

#define COMMANDS(X)                                                                         \
    X(run, "run an EXE as a process")                                                       \
    X(call, "call an export of a DLL with typed arguments")                                 \
    X(verify, "would Windows load it, and if not by which rule")                            \
    X(map, "map an image and show regions, protections and the relocation outcome")         \
    X(inspect, "show what the file says")                                                   \
    X(imports, "list imports and delay imports")                                            \
    X(exports, "list exports, forwarders and holes")                                        \
    X(relocs, "plan a relocation: fixups per type and page, instructions that are changed") \
    X(deps, "show the recursive import tree and where each module comes from")              \
    X(disasm, "disassemble from the entry point, an export or an RVA")                      \
    X(walk, "show every region of a process that peldr runs in")                            \
    X(sections, "list named sections and loaded images, and who has them")                  \
    X(cache, "list, prune or clear the cache of images that processes share")               \
    X(test, "check a folder of images against golden outcomes (TAP)")

#define DECLARE(name, summary) int cmd_##name(int argc, char **argv);
COMMANDS(DECLARE)
#define ROW(name, summary) {#name, summary, cmd_##name},
const struct command commands[] = {COMMANDS(ROW)};
const unsigned command_count = sizeof commands / sizeof *commands;

static void help(FILE *out)
{
    fprintf(out, "Usage: peldr SUBCOMMAND [options] IMAGE\n"
                 "Load Windows DLLs and EXEs (PE32 and PE32+) on Linux and show what happens.\n\n");
    for (unsigned i = 0; i < command_count; i++)
        fprintf(out, "  %-8s  %s\n", commands[i].name, commands[i].summary);
    fprintf(out, "\n`peldr SUBCOMMAND --help` explains each, with examples. Start with:\n"
                 "  peldr inspect some.dll\n"
                 "  peldr map some.dll\n"
                 "  peldr call zlib1.dll 'u32 crc32(u32, str, u32)' 0 hello 5\n\n"
                 "DLLs are searched beside the image, in -L directories, and in PELDR_PATH.\n"
                 "Exit status: 0 done, 1 the image was refused or a check failed, 2 bad usage;\n"
                 "`run` gives the image's own exit code.\n");
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--version") == 0) {
        printf("peldr %d.%d.%d (%d-bit)\n", PELDR_VERSION_MAJOR, PELDR_VERSION_MINOR,
               PELDR_VERSION_PATCH, (int)sizeof(void *) * 8);
        return CLI_OK;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        help(stdout);
        return CLI_OK;
    }
    if (strcmp(name, "--bind") == 0 && argc == 3) /* the last step of the build */
        return peldr_bind_program(argv[2]) == 0 ? CLI_OK : CLI_REFUSED;
    for (unsigned i = 0; i < command_count; i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (*name)
        fprintf(stderr, "peldr: there is no subcommand %s\n\n", name);
    help(stderr);
    return CLI_USAGE;
}
