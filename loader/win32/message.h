/*
 * FormatMessage's engine (message.c) and the system's messages (message_texts.c).
 */
#ifndef WIN32_MESSAGE_H
#define WIN32_MESSAGE_H

#include "loader/win32/types.h"

enum {
    FORMAT_MESSAGE_ALLOCATE_BUFFER = 0x100,
    FORMAT_MESSAGE_IGNORE_INSERTS = 0x200,
    FORMAT_MESSAGE_FROM_STRING = 0x400,
    FORMAT_MESSAGE_FROM_HMODULE = 0x800,
    FORMAT_MESSAGE_FROM_SYSTEM = 0x1000,
    FORMAT_MESSAGE_ARGUMENT_ARRAY = 0x2000,
    FORMAT_MESSAGE_MAX_WIDTH_MASK = 0xFF,
};

/*
 * Makes the message; `*out` is malloc'ed. `wide` says of which kind `source` (FROM_STRING) and the
 * default string inserts are. `arguments` is an array, or a va_list* of the image's convention.
 * Returns a Win32 error.
 */
uint32_t win32_format_message(DWORD flags, const void *source, DWORD id, bool wide, void *arguments,
                              WCHAR **out, size_t *length);

#endif
