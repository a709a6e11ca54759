/*
 * Names of objects (Microsoft's "Kernel Object Namespaces" and "Object Directories"; results of
 * odd names as Wine's tests of the object manager record them for Windows).
 *
 * KERNEL32 looks names up in the directory of its session, \Sessions\1\BaseNamedObjects here, where
 * "Local", "Global" and "Session" are links to directories. There is the directory of the session,
 * and \BaseNamedObjects, the global one; both have these links, so prefixes may follow each other.
 */
#include <sha2.h>
#include <stdio.h>
#include <string.h>

#include "loader/ob/name.h"

/* The session that PEB.SessionId tells: an interactive one. Session 0 is the global directory. */
#define OWN_SESSION 1u

/* ---- directories --------------------------------------------------------------------------------
 */

static uint16_t fold(uint16_t unit, bool ignore_case)
{
    return ignore_case && unit >= 'a' && unit <= 'z' ? (uint16_t)(unit - 32) : unit;
}

/* Takes "Word\" off the front of `name`. */
static bool take(struct ob_name *name, const char *word, bool ignore_case)
{
    size_t length = strlen(word);
    if (name->length <= length || name->text[length] != '\\')
        return false;
    for (size_t i = 0; i < length; i++)
        if (fold(name->text[i], ignore_case) != fold((uint8_t)word[i], ignore_case))
            return false;
    name->text += length + 1;
    name->length -= length + 1;
    return true;
}

static bool is_word(const struct ob_name *name, const char *word)
{
    size_t length = strlen(word);
    if (name->length != length)
        return false;
    for (size_t i = 0; i < length; i++)
        if (name->text[i] != (uint8_t)word[i])
            return false;
    return true;
}

/* "1\": false when it is no session that is there. */
static bool take_session(struct ob_name *name, bool *global)
{
    if (take(name, "0", false))
        *global = true;
    else if (take(name, "1", false))
        *global = false;
    else
        return false;
    return true;
}

_Static_assert(OWN_SESSION == 1, "take_session() knows it by its digit");

/* From a name that begins in one of the two directories to the name in the one where it ends. */
static nt_status resolve(struct ob_name *name, bool *global, bool ignore_case)
{
    for (;;) {
        if (take(name, "Local", ignore_case))
            continue;
        if (take(name, "Global", ignore_case)) {
            *global = true;
        } else if (take(name, "Session", ignore_case)) {
            if (!take_session(name, global))
                return STATUS_OBJECT_PATH_NOT_FOUND;
        } else {
            break;
        }
    }
    if (name->length == 0 || name->text[0] == '\\')
        return STATUS_OBJECT_NAME_INVALID; /* a component without name */
    for (size_t i = 0; i < name->length; i++)
        if (name->text[i] == '\\')
            return STATUS_OBJECT_PATH_NOT_FOUND;
    if (is_word(name, "Local") || is_word(name, "Global") || is_word(name, "Session"))
        return STATUS_OBJECT_TYPE_MISMATCH; /* the links themselves */
    return STATUS_SUCCESS;
}

nt_status ob_name_parse(const uint16_t *name, struct ob_name *out, bool *global)
{
    *out = (struct ob_name){0};
    *global = false;
    if (!name || !*name)
        return STATUS_SUCCESS;
    size_t length = 0;
    while (name[length] && length <= OB_NAME_MAX)
        length++;
    if (length > OB_NAME_MAX)
        return STATUS_OBJECT_NAME_INVALID;
    if (name[0] == '\\')
        return STATUS_OBJECT_PATH_SYNTAX_BAD; /* absolute, below a directory */
    *out = (struct ob_name){name, length};
    return resolve(out, global, false);
}

/* The two ways to a session's directory from the root. */
static nt_status enter_session(struct ob_name *name, bool *global, bool ignore_case)
{
    if (take(name, "BNOLINKS", ignore_case))
        return take_session(name, global) ? STATUS_SUCCESS : STATUS_OBJECT_PATH_NOT_FOUND;
    if (!take_session(name, global) || !take(name, "BaseNamedObjects", ignore_case))
        return STATUS_OBJECT_PATH_NOT_FOUND;
    return STATUS_SUCCESS;
}

nt_status ob_name_parse_nt(const uint16_t *text, size_t bytes, bool ignore_case,
                           struct ob_name *out, bool *global)
{
    *out = (struct ob_name){0};
    *global = true;
    if (bytes == 0)
        return STATUS_SUCCESS;
    if (bytes % 2 != 0 || bytes / 2 > OB_NAME_MAX)
        return STATUS_OBJECT_NAME_INVALID;
    if (text[0] != '\\')
        return STATUS_OBJECT_PATH_SYNTAX_BAD;
    struct ob_name name = {text + 1, bytes / 2 - 1};
    if (name.length == 0)
        return STATUS_OBJECT_TYPE_MISMATCH; /* the root itself */
    if (take(&name, "Sessions", ignore_case)) {
        nt_status status = enter_session(&name, global, ignore_case);
        if (!nt_ok(status))
            return status;
    } else if (!take(&name, "BaseNamedObjects", ignore_case)) {
        return is_word(&name, "BaseNamedObjects") ? STATUS_OBJECT_TYPE_MISMATCH
                                                  : STATUS_OBJECT_PATH_NOT_FOUND;
    }
    *out = name;
    return resolve(out, global, ignore_case);
}

/* ---- keys and texts -----------------------------------------------------------------------------
 */

void ob_name_key(const struct ob_name *name, bool global, char key[OB_NAME_KEY])
{
    SHA2_CTX context;
    const uint8_t directory = global;
    key[0] = 'n';
    key[1] = '-';
    SHA256Init(&context);
    SHA256Update(&context, &directory, sizeof directory);
    SHA256Update(&context, (const uint8_t *)name->text, name->length * 2);
    SHA256End(&context, key + 2);
}

static size_t put_utf8(uint32_t point, char out[4])
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    size_t more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    for (size_t i = more; i > 0; i--, point >>= 6)
        out[i] = (char)(0x80 | (point & 0x3F));
    out[0] = (char)(((0xFF00u >> (more + 1)) & 0xFF) | point);
    return more + 1;
}

static uint32_t next_point(const struct ob_name *name, size_t *at)
{
    uint16_t unit = name->text[(*at)++];
    if (unit < 0xD800 || unit > 0xDFFF)
        return unit;
    if (unit > 0xDBFF || *at == name->length || name->text[*at] < 0xDC00 ||
        name->text[*at] > 0xDFFF)
        return 0xFFFD;
    return 0x10000 + ((uint32_t)(unit - 0xD800) << 10) + (name->text[(*at)++] - 0xDC00u);
}

void ob_name_text(const struct ob_name *name, bool global, char text[OB_NAME_TEXT])
{
    size_t used = (size_t)snprintf(text, OB_NAME_TEXT, "%s", global ? "Global\\" : "");
    for (size_t at = 0; at < name->length;) {
        char bytes[4];
        size_t count = put_utf8(next_point(name, &at), bytes);
        if (used + count >= OB_NAME_TEXT)
            break;
        memcpy(text + used, bytes, count);
        used += count;
    }
    text[used] = 0;
}
