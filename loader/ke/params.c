/*
 * RTL_USER_PROCESS_PARAMETERS and the command line.
 *
 * The block is normalised (flag 1): its pointers are addresses, as they are once ntdll has started
 * a process. Quoting is the inverse of CommandLineToArgvW as Microsoft documents it: the program
 * name ends at its closing quote and knows no escapes; in arguments, backslashes are special in
 * front of a double quote only.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/ke/ke.h"
#include "loader/ke/process.h"
#include "loader/ke/teb.h"
#include "loader/ldr/path.h"
#include "loader/mm/snapshot.h"
#include "loader/mm/view.h"

#define STRING_MAX 0x7FFEu /* characters: UNICODE_STRING counts bytes in 16 bits */

static char *quote_program(const char *name, char *out)
{
    bool quoted = *name == 0 || strpbrk(name, " \t") != NULL;
    if (quoted)
        *out++ = '"';
    out = stpcpy(out, name);
    if (quoted)
        *out++ = '"';
    return out;
}

/* Backslashes double in front of a double quote, one of the argument or the closing one. */
static char *quote_argument(const char *argument, char *out)
{
    if (*argument != 0 && strpbrk(argument, " \t\n\v\"") == NULL)
        return stpcpy(out, argument);
    *out++ = '"';
    for (const char *at = argument;; at++) {
        size_t slashes = strspn(at, "\\");
        at += slashes;
        bool special = *at == '"' || *at == 0;
        size_t wanted = special ? slashes * 2 : slashes;
        memset(out, '\\', wanted);
        out += wanted;
        if (*at == 0)
            break;
        if (*at == '"')
            *out++ = '\\';
        *out++ = *at;
    }
    *out++ = '"';
    return out;
}

char *ke_command_line(int argc, char *const *argv)
{
    size_t size = 1;
    for (int i = 0; i < argc; i++)
        size += strlen(argv[i]) * 2 + 3; /* every character escaped, two quotes, a space */
    char *line = malloc(size), *out = line;
    if (!line)
        return NULL;
    for (int i = 0; i < argc; i++) {
        if (i > 0)
            *out++ = ' ';
        out = i == 0 ? quote_program(argv[i], out) : quote_argument(argv[i], out);
    }
    *out = 0;
    return line;
}

/* Strings are laid one behind the other; `room` counts the characters that are left. */
struct block {
    uint16_t *next;
    size_t room;
};

static void put_string(struct block *block, struct ke_unicode_string *out, size_t length)
{
    out->Buffer = block->next;
    out->Length = (uint16_t)(length * 2);
    out->MaximumLength = (uint16_t)(out->Length + 2);
    block->next[length] = 0;
    block->next += length + 1;
    block->room -= length + 1;
}

static void put_utf8(struct block *block, struct ke_unicode_string *out, const char *text)
{
    put_string(block, out, ldr_utf8_to_utf16(text, strlen(text), block->next, block->room));
}

static void put_path(struct block *block, struct ke_unicode_string *out, const char *host,
                     bool directory)
{
    size_t length = *host ? ldr_path_to_windows(host, block->next, block->room) : 0;
    if (directory && length > 0 && block->next[length - 1] != '\\')
        block->next[length++] = '\\';
    put_string(block, out, length);
}

static void put_text(struct block *block, struct ke_unicode_string *out, struct ke_wide text)
{
    if (text.length)
        memcpy(block->next, text.text, text.length * 2);
    put_string(block, out, text.length);
}

static void put_environment(struct block *block, struct ke_process_parameters *parameters)
{
    uint16_t *start = block->next;
    for (char **entry = environ; entry && *entry; entry++) {
        struct ke_unicode_string ignored;
        if (**entry)
            put_utf8(block, &ignored, *entry);
    }
    if (block->next == start)
        *block->next++ = 0; /* an empty block is two NULs, too */
    *block->next++ = 0;
    parameters->Environment = start;
    parameters->EnvironmentSize = (uintptr_t)(block->next - start) * 2;
}

/* The order of ke_start.look. */
static void put_look(struct ke_process_parameters *p, const uint32_t *look)
{
    p->StartingX = look[0];
    p->StartingY = look[1];
    p->CountX = look[2];
    p->CountY = look[3];
    p->CountCharsX = look[4];
    p->CountCharsY = look[5];
    p->FillAttribute = look[6];
    p->WindowFlags = look[7];
    p->ShowWindowFlags = look[8];
}

/* What CreateProcess can choose and a process that nobody created has by default. */
static void put_start(struct block *block, struct ke_process_parameters *p,
                      const struct ke_parameters *source)
{
    const struct ke_start *start = source->start;
    if (!start) {
        put_utf8(block, &p->CommandLine, source->command_line);
        put_path(block, &p->WindowTitle, source->image_path, false);
        put_utf8(block, &p->DesktopInfo, "Winsta0\\Default");
        put_utf8(block, &p->RuntimeData, "");
        return;
    }
    put_text(block, &p->CommandLine, start->command_line);
    if (start->title.length)
        put_text(block, &p->WindowTitle, start->title);
    else
        put_path(block, &p->WindowTitle, source->image_path, false);
    if (start->desktop.length)
        put_text(block, &p->DesktopInfo, start->desktop);
    else
        put_utf8(block, &p->DesktopInfo, "Winsta0\\Default");
    put_text(block, &p->RuntimeData, start->runtime_data);
    put_look(p, start->look);
}

/* The same limit for all of them: UNICODE_STRING's. */
static nt_status check_start(const struct ke_start *start, size_t *needed, struct pe_error *err)
{
    const struct ke_wide *texts[] = {&start->command_line, &start->desktop, &start->title,
                                     &start->runtime_data};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i]->length > STRING_MAX)
            return pe_fail(err, STATUS_INVALID_PARAMETER,
                           "a string of %zu characters is too long for the process parameters",
                           texts[i]->length);
        *needed += texts[i]->length + 1;
    }
    return STATUS_SUCCESS;
}

/* UTF-16 never has more units than UTF-8 has bytes; 16 cover a drive, a separator and the NUL. */
static size_t characters_needed(const char *const *texts, size_t count)
{
    size_t needed = 64; /* the fixed strings and NULs */
    for (size_t i = 0; i < count; i++)
        needed += strlen(texts[i]) + 16;
    for (char **entry = environ; entry && *entry; entry++)
        needed += strlen(*entry) + 1;
    return needed;
}

nt_status ke_parameters_build(const struct ke_parameters *source,
                              struct ke_process_parameters **out, struct pe_error *err)
{
    char directory[4096];
    if (!getcwd(directory, sizeof(directory)))
        strcpy(directory, "/");
    /* ImagePathName and WindowTitle are the same path. */
    const char *texts[] = {source->image_path, source->image_path, source->command_line, directory};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (strlen(texts[i]) > STRING_MAX - 16)
            return pe_fail(err, STATUS_INVALID_PARAMETER,
                           "a string of %zu bytes is too long for the process parameters",
                           strlen(texts[i]));
    struct block block = {.room = characters_needed(texts, sizeof(texts) / sizeof(texts[0]))};
    nt_status status =
        source->start ? check_start(source->start, &block.room, err) : STATUS_SUCCESS;
    uint64_t base = 0, size = sizeof(struct ke_process_parameters) + block.room * 2;
    if (nt_ok(status))
        status = mm_alloc(&base, &size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, err);
    if (!nt_ok(status))
        return status;
    mm_exempt(base);
    struct ke_process_parameters *p = (struct ke_process_parameters *)(uintptr_t)base;
    block.next = (uint16_t *)(p + 1);
    p->Flags = 1;
    put_path(&block, &p->CurrentDirectory.DosPath, directory, true);
    put_path(&block, &p->ImagePathName, source->image_path, false);
    put_utf8(&block, &p->DllPath, "");
    put_utf8(&block, &p->ShellInfo, "");
    put_start(&block, p, source);
    put_environment(&block, p);
    p->Length = (uint32_t)((char *)block.next - (char *)p);
    p->MaximumLength = (uint32_t)size;
    *out = p;
    return STATUS_SUCCESS;
}
