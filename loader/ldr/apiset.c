/*
 * API sets: names with an "api-" or "ext-" prefix are contracts, which the schema maps to the
 * module that serves them (Microsoft, "API set loader operation"; facts 3.6).
 *
 * What follows the last hyphen is a version that the lookup ignores, so a program built for a later
 * revision of a contract finds its host too.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "loader/ldr/apiset.h"
#include "loader/ldr/ldr.h"
#include "loader/ldr/path.h"

/* Longer than any contract of the schema. */
#define CONTRACT_MAX 128

/* The C runtime's contracts are files where Windows does not know them: its installer brings them.
 */
#define CRT_PREFIX "api-ms-win-crt-"

static int compare(const void *key, const void *row)
{
    return ldr_casecmp(key, ((const struct ldr_apiset *)row)->contract);
}

/* Windows XP has no API sets: there a contract is the name of a file that does not exist. */
static bool is_known(const char *name)
{
    return ldr_windows() != PE_WINDOWS_XP ||
           strncasecmp(name, CRT_PREFIX, sizeof(CRT_PREFIX) - 1) == 0;
}

const char *ldr_apiset_host(const char *name)
{
    char key[CONTRACT_MAX];
    size_t length = strlen(name);
    if (length >= 4 && ldr_casecmp(name + length - 4, ".dll") == 0)
        length -= 4;
    while (length > 0 && name[length - 1] != '-')
        length--;
    if (length < 2 || length > sizeof(key) || !is_known(name))
        return NULL;
    memcpy(key, name, length - 1);
    key[length - 1] = '\0';
    const struct ldr_apiset *row =
        bsearch(key, ldr_apisets, ldr_apiset_count, sizeof(*row), compare);
    return row ? row->host : NULL;
}
