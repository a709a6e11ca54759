/*
 * A target for fuzzing: a decoder of short messages that has a bug, and state that it carries from
 * one message to the next. The same message gets another answer the second time, unless the host
 * puts the DLL back to what it was (peldr_snapshot, peldr_reset).
 *
 * A message is a list of records of one letter and operands:
 *     N length text   keeps a note on the process heap
 *     T length text   replaces the title, which lies in the C runtime's heap
 *     D               drops the last note
 *     S index value   sets an option; there are 16, and this is the bug: nobody looks at the index,
 *                     which has 32 bits, little endian
 */
#include "winapi.h"

SAMPLE_NO_CRT

IMPORT HANDLE WINAPI GetProcessHeap(void);
IMPORT void *WINAPI HeapAlloc(HANDLE heap, DWORD flags, SIZE_T size);
IMPORT BOOL WINAPI HeapFree(HANDLE heap, DWORD flags, void *memory);
IMPORT void *realloc(void *memory, SIZE_T size);

struct note {
    struct note *next;
    DWORD size;
    BYTE text[];
};

static struct note *notes;
static BYTE *title;
static DWORD title_size, messages;
static DWORD options[16] = {3, 1, 4, 1, 5, 9, 2, 6};

BOOL WINAPI DllMain(HMODULE module, DWORD reason, void *reserved)
{
    return 1;
}

struct input {
    const BYTE *at, *end;
};

static DWORD take(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

static DWORD take32(struct input *in)
{
    DWORD value = 0;
    for (int i = 0; i < 4; i++)
        value |= take(in) << 8 * i;
    return value;
}

static void copy_text(struct input *in, BYTE *to, DWORD size)
{
    for (DWORD i = 0; i < size; i++)
        to[i] = (BYTE)take(in);
}

static void add_note(struct input *in)
{
    DWORD size = take(in);
    struct note *note = HeapAlloc(GetProcessHeap(), 0, sizeof(*note) + size);
    if (!note)
        return;
    note->size = size;
    copy_text(in, note->text, size);
    note->next = notes;
    notes = note;
}

static void drop_note(void)
{
    struct note *note = notes;
    if (!note)
        return;
    notes = note->next;
    HeapFree(GetProcessHeap(), 0, note);
}

static void set_title(struct input *in)
{
    DWORD size = take(in);
    BYTE *text = realloc(title, size + 1);
    if (!text)
        return;
    title = text;
    title_size = size;
    copy_text(in, title, size);
}

static DWORD mix(DWORD sum, const BYTE *bytes, DWORD size)
{
    for (DWORD i = 0; i < size; i++)
        sum = (sum ^ bytes[i]) * 0x01000193;
    return sum;
}

/* Everything that the DLL remembers goes into the answer. */
static DWORD digest(void)
{
    DWORD sum = mix(0x811C9DC5, (const BYTE *)options, sizeof(options));
    for (const struct note *note = notes; note; note = note->next)
        sum = mix(sum, note->text, note->size);
    return mix(mix(sum, title, title_size), (const BYTE *)&messages, sizeof(messages));
}

EXPORT DWORD decode(const BYTE *bytes, DWORD size)
{
    struct input in = {bytes, bytes + size};
    messages++;
    while (in.at < in.end) {
        DWORD letter = take(&in), index;
        switch (letter) {
        case 'N':
            add_note(&in);
            break;
        case 'D':
            drop_note();
            break;
        case 'T':
            set_title(&in);
            break;
        case 'S':
            index = take32(&in);
            options[index] = take(&in);
            break;
        }
    }
    return digest();
}
