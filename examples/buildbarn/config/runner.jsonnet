// bb_runner: starts the commands, in the container whose files they are to see.
local common = import 'common.libsonnet';

{
  buildDirectoryPath: '/worker/build',
  grpcServers: [{
    listenPaths: ['/worker/runner'],
    authenticationPolicy: common.open,
  }],
  global: {},
}
