/*
 * Crash reports (see report.h). PEB_LDR_DATA and LDR_DATA_TABLE_ENTRY: facts 3, offsets as in
 * ntdll's public symbols.
 */
#include "loader/ke/report.h"

#include <string.h>
#include <unistd.h>

#include "loader/ke/thread.h"

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

static const struct table_entry *find_entry(uintptr_t address)
{
    struct ke_peb *peb = ke_peb();
    if (!peb || !peb->Ldr)
        return NULL;
    const struct list_entry *head =
        (const struct list_entry *)((char *)peb->Ldr + KE_BY_WORD(0x10, 0x0C));
    const struct list_entry *at = head->next;
    for (int i = 0; i < MODULES_MAX && at && at != head; i++, at = at->next) {
        const struct table_entry *entry = (const struct table_entry *)at;
        if (address - entry->DllBase < entry->SizeOfImage)
            return entry;
    }
    return NULL;
}

bool ke_in_image(uintptr_t address)
{
    return find_entry(address) != NULL;
}

/* Behind a call instruction: E8 rel32, or FF /2 with an operand of 1 to 6 bytes. */
static bool is_return_address(uintptr_t address)
{
    const struct table_entry *entry = find_entry(address);
    if (!entry || address - entry->DllBase < 0x1000) /* the headers hold no code */
        return false;
    const uint8_t *at = (const uint8_t *)address;
    bool found = at[-5] == 0xE8;
    for (int length = 2; length <= 7 && !found; length++)
        found = at[-length] == 0xFF && (at[1 - length] & 0x38) == 0x10;
    return found;
}

/* Reads the stack across the bounds of its variables, which a sanitizer would object to. */
__attribute__((no_sanitize("address"))) uintptr_t ke_find_caller(uintptr_t stack_pointer)
{
    const struct ke_teb *teb = ke_current ? ke_current->teb : NULL;
    if (!teb || stack_pointer < (uintptr_t)teb->StackLimit ||
        stack_pointer >= (uintptr_t)teb->StackBase)
        return 0;
    const uintptr_t *word = (const uintptr_t *)(stack_pointer & ~(sizeof(uintptr_t) - 1));
    const uintptr_t *end = (const uintptr_t *)teb->StackBase;
    for (int i = 0; i < SCAN_WORDS && word < end; i++, word++)
        if (is_return_address(*word))
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

static void put_name(struct ke_text *text, const struct ke_unicode_string *name)
{
    for (unsigned i = 0; i < name->Length / 2u && i < 64; i++) {
        char c[2] = {name->Buffer[i] < 0x7F ? (char)name->Buffer[i] : '?', 0};
        ke_text_put(text, c);
    }
}

void ke_text_address(struct ke_text *text, uintptr_t address)
{
    const struct table_entry *entry = find_entry(address);
    if (!entry) {
        ke_text_hex(text, address);
        return;
    }
    put_name(text, &entry->BaseDllName);
    ke_text_put(text, "+");
    ke_text_hex(text, address - entry->DllBase);
    ke_text_put(text, " (");
    ke_text_hex(text, address);
    ke_text_put(text, ")");
}

void ke_text_report(const struct ke_text *text)
{
    struct ke_text line = {.length = 0};
    ke_text_put(&line, "peldr: ");
    ke_text_put(&line, text->bytes);
    if (line.length == sizeof(line.bytes) - 1)
        line.length--;
    line.bytes[line.length++] = '\n';
    ssize_t written = write(STDERR_FILENO, line.bytes, line.length);
    (void)written; /* nowhere left to complain */
}
