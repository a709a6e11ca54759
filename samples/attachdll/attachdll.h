/* What attachdll.dll gives to programs, and the numbers of its resources. */
#ifndef ATTACHDLL_H
#define ATTACHDLL_H

#define IDS_SECTION 101 /* strings: names of objects */
#define IDS_MUTEX   102
#define ID_CONTENT  201 /* RCDATA: what the first process fills the section with */

#ifndef RC_INVOKED
#include <windows.h>

#ifdef ATTACHDLL_BUILD
#define ATTACHDLL_API __declspec(dllexport)
#else
#define ATTACHDLL_API __declspec(dllimport)
#endif

/* One for all processes that have the DLL. */
struct attach_shared {
    LONG attached; /* processes */
    char text[100];
};

/* The view, and whether it was this process's DLL that created the section object. */
ATTACHDLL_API struct attach_shared *attach_view(BOOL *created);
#endif

#endif
