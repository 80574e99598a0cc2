// @slack/bolt for JavaScript with nothing to do: node bolt_noop.cjs PORT http|express
const { App, ExpressReceiver, HTTPReceiver, LogLevel } = require('@slack/bolt');

const [port, kind] = process.argv.slice(2);
const Receiver = kind === 'express' ? ExpressReceiver : HTTPReceiver;
const receiver = new Receiver({
  signingSecret: 'bench-signing-secret',
  endpoints: ['/slack/events'],
  processBeforeResponse: true,
  logLevel: LogLevel.ERROR,
});
const app = new App({
  receiver,
  logLevel: LogLevel.ERROR,
  authorize: async () => ({ botToken: 'xoxb-bench', botId: 'B1', botUserId: 'U1', teamId: 'TACME00001' }),
});
app.command('/platform', async ({ ack }) => { await ack(); });
app.start({ port: Number(port), host: '127.0.0.1' });
