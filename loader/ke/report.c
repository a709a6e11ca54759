/*
 * Crash reports (see report.h). PEB_LDR_DATA and LDR_DATA_TABLE_ENTRY: facts 3, offsets as in
 * ntdll's public symbols.
 */
#include "loader/ke/report.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "loader/ke/thread.h"
#include "loader/ldr/imagemap.h"
#include "loader/stack.h"

#define MODULES_MAX 4096 /* ends the walk over a list that changes under it */
#define SCAN_WORDS  512  /* of stack that a caller is looked for in */

struct list_entry {
    struct list_entry *next, *prev;
};

/* LDR_DATA_TABLE_ENTRY, as far as it is read here. */
struct table_entry {
    struct list_entry InLoadOrderLinks, InMemoryOrderLinks, InInitializationOrderLinks;
    uintptr_t DllBase;
    void *EntryPoint;
    uint32_t SizeOfImage;
    struct ke_unicode_string FullDllName, BaseDllName;
};
_Static_assert(offsetof(struct table_entry, DllBase) == KE_BY_WORD(0x30, 0x18), "DllBase");
_Static_assert(offsetof(struct table_entry, BaseDllName) == KE_BY_WORD(0x58, 0x2C), "BaseDllName");

/* A copy of the entry that an address lies in: the list may change at any moment. */
static bool find_entry(uintptr_t address, struct table_entry *out)
{
    struct ke_peb *peb = ke_peb();
    if (!peb || !peb->Ldr)
        return false;
    uintptr_t head = (uintptr_t)peb->Ldr + KE_BY_WORD(0x10, 0x0C), at = head;
    for (int i = 0; i < MODULES_MAX; i++) {
        struct list_entry link;
        if (ke_peek(at, &link, sizeof(link)) != sizeof(link))
            return false;
        at = (uintptr_t)link.next;
        if (at == head || ke_peek(at, out, sizeof(*out)) != sizeof(*out))
            return false;
        if (address - out->DllBase < out->SizeOfImage)
            return true;
    }
    return false;
}

bool ke_in_image(uintptr_t address)
{
    return ldr_image_at(address, NULL);
}

/* Behind a call instruction: E8 rel32, or FF /2 with an operand of 1 to 6 bytes. */
bool ke_is_return_address(uintptr_t address)
{
    enum { HEADERS = 0x1000, BEFORE = 7 };
    struct ldr_image_range range;
    uint8_t code[BEFORE];
    if (!ldr_image_at(address, &range) || address - range.base < HEADERS ||
        ke_peek(address - BEFORE, code, BEFORE) != BEFORE)
        return false;
    const uint8_t *at = code + BEFORE;
    bool found = at[-5] == 0xE8;
    for (int length = 2; length <= BEFORE && !found; length++)
        found = at[-length] == 0xFF && (at[1 - length] & 0x38) == 0x10;
    return found;
}

/* Reads the stack across the bounds of its variables, which a sanitizer would object to. */
STACK_JUMPER uintptr_t ke_find_caller(uintptr_t stack_pointer)
{
    const struct ke_teb *teb = ke_current ? ke_current->teb : NULL;
    if (!teb || stack_pointer < (uintptr_t)teb->StackLimit ||
        stack_pointer >= (uintptr_t)teb->StackBase)
        return 0;
    const uintptr_t *word = (const uintptr_t *)(stack_pointer & ~(sizeof(uintptr_t) - 1));
    const uintptr_t *end = (const uintptr_t *)teb->StackBase;
    for (int i = 0; i < SCAN_WORDS && word < end; i++, word++)
        if (ke_is_return_address(*word))
            return *word;
    return 0;
}

void ke_text_put(struct ke_text *text, const char *string)
{
    size_t length = strlen(string), room = sizeof(text->bytes) - 1 - text->length;
    if (length > room)
        length = room;
    memcpy(text->bytes + text->length, string, length);
    text->length += length;
    text->bytes[text->length] = 0;
}

void ke_text_hex(struct ke_text *text, uint64_t value)
{
    char digits[19] = "", *at = digits + sizeof(digits) - 1;
    *at = 0;
    do {
        *--at = "0123456789abcdef"[value & 15];
        value >>= 4;
    } while (value);
    *--at = 'x';
    *--at = '0';
    ke_text_put(text, at);
}

void ke_text_number(struct ke_text *text, uint64_t value)
{
    char digits[21], *at = digits + sizeof(digits) - 1;
    *at = 0;
    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    ke_text_put(text, at);
}

void ke_text_hex_padded(struct ke_text *text, uint64_t value, unsigned digits)
{
    while (digits-- > 0) {
        char digit[2] = {"0123456789abcdef"[value >> (4 * digits) & 15], 0};
        ke_text_put(text, digit);
    }
}

static void put_name(struct ke_text *text, const struct ke_unicode_string *name)
{
    enum { NAME_MAX_SHOWN = 64 };
    uint16_t units[NAME_MAX_SHOWN];
    size_t length = name->Length / 2u;
    length = ke_peek((uintptr_t)name->Buffer, units,
                     2 * (length < NAME_MAX_SHOWN ? length : NAME_MAX_SHOWN)) /
             2;
    for (size_t i = 0; i < length; i++) {
        char c[2] = {units[i] >= ' ' && units[i] < 0x7F ? (char)units[i] : '?', 0};
        ke_text_put(text, c);
    }
}

bool ke_text_module(struct ke_text *text, uintptr_t address, uintptr_t *base)
{
    struct table_entry entry;
    if (!find_entry(address, &entry))
        return false;
    put_name(text, &entry.BaseDllName);
    *base = entry.DllBase;
    return true;
}

void ke_text_address(struct ke_text *text, uintptr_t address)
{
    uintptr_t base;
    if (!ke_text_module(text, address, &base)) {
        ke_text_hex(text, address);
        return;
    }
    ke_text_put(text, "+");
    ke_text_hex(text, address - base);
    ke_text_put(text, " (");
    ke_text_hex(text, address);
    ke_text_put(text, ")");
}

/* A closed pipe must not end the process in another way than it is about to end. */
static void write_quietly(const char *bytes, size_t length)
{
    sigset_t pipe_signal, before, pending;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    ssize_t written = write(STDERR_FILENO, bytes, length);
    if (written < 0 && errno == EPIPE && !sigismember(&pending, SIGPIPE))
        sigtimedwait(&pipe_signal, NULL, &(struct timespec){0});
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void ke_text_report(const struct ke_text *text)
{
    struct ke_text line = {.length = 0};
    int saved = errno;
    ke_text_put(&line, "peldr: ");
    ke_text_put(&line, text->bytes);
    if (line.length == sizeof(line.bytes) - 1)
        line.length--;
    line.bytes[line.length++] = '\n';
    write_quietly(line.bytes, line.length);
    errno = saved;
}
