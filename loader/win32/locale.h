/*
 * Locale data, for the families that format by it (kernel32/locale.c).
 */
#ifndef WIN32_LOCALE_H
#define WIN32_LOCALE_H

#include "loader/win32/types.h"

/* The ASCII text of an LCTYPE (flags ignored), or NULL for an unknown locale or type. */
const char *win32_locale_value(LCID locale, LCTYPE type);
/* The locale of a name, as LocaleNameToLCID with neutral names allowed; 0 = unknown. NULL = user's.
 */
LCID win32_locale_of_name(const WCHAR *name);

#endif
