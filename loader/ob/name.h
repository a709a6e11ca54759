/*
 * Names of objects inside this room: which file of the runtime directory stands for one, and its
 * text for people.
 */
#ifndef OB_NAME_H
#define OB_NAME_H

#include "loader/ob/record.h"

/* What a UNICODE_STRING holds, without the terminating NUL that Windows reserves room for. */
#define OB_NAME_MAX  32766u
#define OB_NAME_KEY  68 /* "n-", 64 digits, NUL */
#define OB_NAME_TEXT 1024

/* The backing's key: a digest, so that any units make a file name. */
void ob_name_key(const struct ob_name *name, bool global, char key[OB_NAME_KEY]);
/* UTF-8, cut when too long; what is no UTF-16 becomes U+FFFD. */
void ob_name_text(const struct ob_name *name, bool global, char text[OB_NAME_TEXT]);

#endif
