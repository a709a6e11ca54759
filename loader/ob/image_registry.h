/*
 * Who has which image section object: how a process finds the one that another has built
 * (mm/section.h, struct mm_image_registry).
 */
#ifndef OB_IMAGE_REGISTRY_H
#define OB_IMAGE_REGISTRY_H

/*
 * Image section objects of files are shared with the other processes of the user from now on;
 * idempotent, thread-safe. Without a usable runtime directory nothing is shared, and nothing fails.
 */
void ob_image_registry_start(void);

#endif
