/*
 * Names under which the C runtimes export a function that the tables hold under another one.
 */
#ifndef WIN32_CRT_ALIAS_H
#define WIN32_CRT_ALIAS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The name of the function behind `name` by rule number `rule` (0 ...): "_o_malloc" is malloc,
 * "_isalpha_l" is isalpha, "_mbscpy" is strcpy. False: the rule does not apply.
 */
bool crt_alias(const char *name, unsigned rule, char *out, size_t room);
enum { CRT_ALIAS_RULES = 6 };

#endif
