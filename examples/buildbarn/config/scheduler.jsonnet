// bb_scheduler: gives jobs to workers. Its page on port 7982 shows workers, queues, and what runs.
local common = import 'common.libsonnet';

{
  clientGrpcServers: common.listen(8982),
  workerGrpcServers: common.listen(8983),
  adminHttpServers: [{
    listenAddresses: [':7982'],
    authenticationPolicy: common.open,
  }],
  browserUrl: common.browserUrl,
  maximumMessageSizeBytes: common.maximumMessageSizeBytes,
  global: {},

  contentAddressableStorage: common.connect('storage:8980'),
  executeAuthorizer: common.open,
  modifyDrainsAuthorizer: common.open,
  killOperationsAuthorizer: common.open,
  synchronizeAuthorizer: common.open,

  actionRouter: {
    simple: {
      // The platform is the action's own list of properties: it must be the worker's, nothing more and nothing less.
      platformKeyExtractor: { action: {} },
      // Links share the workers fairly.
      invocationKeyExtractors: [{ toolInvocationId: {} }],
      initialSizeClassAnalyzer: {
        defaultExecutionTimeout: '1800s',
        maximumExecutionTimeout: '7200s',
      },
    },
  },
  platformQueueWithNoWorkersTimeout: '900s',
}
