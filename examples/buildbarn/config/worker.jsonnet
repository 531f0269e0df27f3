// bb_worker: takes jobs from the scheduler, lays out their inputs as hard links, and lets the runner run them.
local common = import 'common.libsonnet';

{
  blobstore: {
    contentAddressableStorage: common.connect('storage:8980'),
    actionCache: common.connect('storage:8980'),
  },
  browserUrl: common.browserUrl,
  maximumMessageSizeBytes: common.maximumMessageSizeBytes,
  scheduler: { address: 'scheduler:8983' },
  global: {},

  buildDirectories: [{
    native: {
      buildDirectoryPath: '/worker/build',
      // Inputs stay here, so that the toolchain is fetched once.
      cacheDirectoryPath: '/worker/cache',
      maximumCacheFileCount: 10000,
      maximumCacheSizeBytes: 4 * 1024 * 1024 * 1024,
      cacheReplacementPolicy: 'LEAST_RECENTLY_USED',
    },
    runners: [{
      endpoint: { address: 'unix:///worker/runner' },
      // Jobs at a time: as many as the machine has processors to spare.
      concurrency: 4,
      platform: { properties: [{ name: 'OSFamily', value: 'linux' }] },
      workerId: { hostname: 'example' },
    }],
  }],
  inputDownloadConcurrency: 10,
  outputUploadConcurrency: 10,
  directoryCache: {
    maximumCount: 1000,
    maximumSizeBytes: 1024 * 1024,
    cacheReplacementPolicy: 'LEAST_RECENTLY_USED',
  },
}
