/*
 * The other process of tests of file mapping between processes (peer.h): calls KERNEL32's functions
 * as the lines on its standard input say, and answers with what they return and the last error.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "loader/ke/process.h"
#include "loader/ob/process.h"
#include "tests/unit/win32_fn.h"

K32(CreateFileA, HANDLE, const char *name, DWORD access, DWORD share, void *security,
    DWORD disposition, DWORD flags, HANDLE template_file)
K32(CloseHandle, BOOL, HANDLE handle)
K32(CreateFileMappingA, HANDLE, HANDLE file, const SECURITY_ATTRIBUTES *security, DWORD protect,
    DWORD high, DWORD low, const char *name)
K32(OpenFileMappingA, HANDLE, DWORD access, BOOL inherit, const char *name)
K32(CreateEventA, HANDLE, const SECURITY_ATTRIBUTES *security, BOOL manual, BOOL initial,
    const char *name)
K32(MapViewOfFile, void *, HANDLE mapping, DWORD access, DWORD high, DWORD low, SIZE_T size)
K32(UnmapViewOfFile, BOOL, const void *base)
K32(VirtualAlloc, void *, void *address, SIZE_T size, DWORD type, DWORD protect)

/* The words of a line behind its command: numbers, and a name at the end. */
struct line {
    uint32_t n[4];
    char name[4096];
};

static uint8_t *view; /* of the last "map" or "use" */

static void say(uint32_t first, uint32_t second)
{
    printf("%" PRIu32 " %" PRIu32 "\n", first, second);
    fflush(stdout);
}

static void say_handle(HANDLE handle)
{
    uint32_t error = ke_last_error();
    say(handle == INVALID_HANDLE_VALUE ? 0 : win32_ob_handle(handle), error);
}

static void open_file(const struct line *line)
{
    say_handle(CreateFileA(line->name, line->n[0], 7, NULL, 3, 0, NULL));
}

static HANDLE handle_of(uint32_t number)
{
    return number ? win32_handle(number) : INVALID_HANDLE_VALUE;
}

/* create FILE PROTECT SIZE NAME: file 0 = the paging file, name "-" = none */
static void create(const struct line *line)
{
    const char *name = strcmp(line->name, "-") ? line->name : NULL;
    say_handle(CreateFileMappingA(handle_of(line->n[0]), NULL, line->n[1], 0, line->n[2], name));
}

static void open_mapping(const struct line *line)
{
    say_handle(OpenFileMappingA(line->n[0], FALSE, line->name));
}

static void event(const struct line *line)
{
    say_handle(CreateEventA(NULL, TRUE, FALSE, line->name));
}

static void close_handle(const struct line *line)
{
    BOOL done = CloseHandle(win32_handle(line->n[0]));
    say((uint32_t)done, ke_last_error());
}

/* map HANDLE ACCESS OFFSET */
static void map(const struct line *line)
{
    view = MapViewOfFile(win32_handle(line->n[0]), line->n[1], 0, line->n[2], 0);
    say(view != NULL, ke_last_error());
}

/* use HIGH LOW: a view that somebody else has mapped here */
static void use(const struct line *line)
{
    view = (uint8_t *)(uintptr_t)((uint64_t)line->n[0] << 32 | line->n[1]);
    say(1, 0);
}

static void unmap(const struct line *line)
{
    BOOL done = UnmapViewOfFile(view);
    say((uint32_t)done, ke_last_error());
}

static void peek(const struct line *line)
{
    say(view[line->n[0]], 0);
}

static void poke(const struct line *line)
{
    view[line->n[0]] = (uint8_t)line->n[1];
    say(1, 0);
}

/* commit OFFSET SIZE */
static void commit(const struct line *line)
{
    void *at = VirtualAlloc(view + line->n[0], line->n[1], 0x1000, 0x04);
    say(at != NULL, ke_last_error());
}

static void leave(const struct line *line)
{
    exit((int)line->n[0]);
}

static const struct {
    const char *name;
    void (*run)(const struct line *line);
    int numbers;
} commands[] = {
    {"file", open_file, 1}, {"create", create, 3}, {"open", open_mapping, 1},
    {"event", event, 0},    {"map", map, 3},       {"use", use, 2},
    {"unmap", unmap, 0},    {"peek", peek, 1},     {"poke", poke, 2},
    {"commit", commit, 2},  {"exit", leave, 1},    {"close", close_handle, 1},
};

static void obey(char *text)
{
    struct line line = {{0}, ""};
    char *save, *word = strtok_r(text, " \n", &save);
    for (size_t i = 0; word && i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(commands[i].name, word) != 0)
            continue;
        for (int n = 0; n < commands[i].numbers && (word = strtok_r(NULL, " \n", &save)); n++)
            line.n[n] = (uint32_t)strtoul(word, NULL, 0);
        if ((word = strtok_r(NULL, "\n", &save)))
            snprintf(line.name, sizeof line.name, "%s", word);
        ke_set_last_error(0xDEADBEEF);
        commands[i].run(&line);
        return;
    }
    exit(2);
}

int main(void)
{
    static char text[8192];
    if (win32_test_setup(NULL) || !nt_ok(ob_service_start(NULL)))
        return 1;
    ke_fault_install();
    puts("ready");
    fflush(stdout);
    while (fgets(text, sizeof text, stdin))
        obey(text);
    return 0;
}
