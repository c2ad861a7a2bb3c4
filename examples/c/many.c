/* Runs many prompts side by side, and prints the ids of each answer: many MODEL DRAFTER PROMPT...
   DRAFTER is a path, "ngram" or "none". The first answer is also shown on stderr as it comes. */
#include <dspark/dspark.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of one prompt; `ids` is filled on the engine's thread. */
typedef struct answer {
  int shown, failed;
  int32_t* ids;
  size_t count;
} answer;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t finished = PTHREAD_COND_INITIALIZER;
static int open_answers; /* guarded by mutex */

static int on_delta(void* user, const dspark_delta* delta) {
  if (((answer*)user)->shown) fwrite(delta->text, 1, delta->text_bytes, stderr);
  return 0; /* anything else cancels the request */
}

static void on_finished(void* user, const dspark_result* result) {
  answer* own = user;
  own->failed = result->finish == DSPARK_FINISH_ERROR;
  if (own->failed) fprintf(stderr, "many: %s\n", result->error);
  own->ids = malloc(result->id_count * sizeof(int32_t) + 1);
  if (own->ids != NULL && result->id_count > 0) {
    memcpy(own->ids, result->ids, result->id_count * sizeof(int32_t));
    own->count = result->id_count;
  }
  pthread_mutex_lock(&mutex);
  --open_answers;
  pthread_cond_signal(&finished);
  pthread_mutex_unlock(&mutex);
}

int main(int argc, char** argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: many MODEL DRAFTER PROMPT...\n");
    return 2;
  }
  if (dspark_abi_version() != DSPARK_ABI_VERSION) {
    fprintf(stderr, "many: built for another libdspark\n");
    return 1;
  }
  dspark_engine_options options = {
      .struct_size = sizeof options, .model = argv[1], .drafter = argv[2]};
  dspark_engine* engine = NULL;
  if (dspark_open(&options, &engine) != DSPARK_OK) {
    fprintf(stderr, "many: %s\n", dspark_last_error());
    return 1;
  }

  const int prompts = argc - 3;
  int failed = 0;
  answer* answers = calloc((size_t)prompts, sizeof(answer));
  for (int i = 0; answers != NULL && i < prompts; ++i) {
    answers[i].shown = i == 0;
    dspark_request request = {.struct_size = sizeof request,
                              .text = argv[3 + i],
                              .max_tokens = 32,
                              .temperature = 0.8f,
                              .seed = 7};
    dspark_callbacks callbacks = {.struct_size = sizeof callbacks,
                                  .user = &answers[i],
                                  .on_delta = on_delta,
                                  .on_finished = on_finished};
    pthread_mutex_lock(&mutex);
    ++open_answers;
    pthread_mutex_unlock(&mutex);
    if (dspark_submit(engine, &request, &callbacks, NULL) != DSPARK_OK) {
      fprintf(stderr, "many: %s\n", dspark_last_error());
      answers[i].failed = 1; /* no callback comes */
      pthread_mutex_lock(&mutex);
      --open_answers;
      pthread_mutex_unlock(&mutex);
    }
  }
  pthread_mutex_lock(&mutex);
  while (open_answers > 0) pthread_cond_wait(&finished, &mutex);
  pthread_mutex_unlock(&mutex);
  dspark_close(engine);

  for (int i = 0; answers != NULL && i < prompts; ++i) {
    for (size_t k = 0; k < answers[i].count; ++k)
      printf("%s%d", k > 0 ? " " : "", (int)answers[i].ids[k]);
    printf("\n");
    failed |= answers[i].failed;
    free(answers[i].ids);
  }
  free(answers);
  return failed;
}
