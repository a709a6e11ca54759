/*
 * Variables of peldr that are the state of images: what they have installed or set by a call. A
 * snapshot puts them back as one block (win32/snapshot.c), so they hold plain values, and pointers
 * only to what lives for ever, to memory of images, or to their code.
 */
#ifndef LOADER_STATE_H
#define LOADER_STATE_H

#define IMAGE_STATE __attribute__((section("peldr_image_state")))

#endif
